"""The extraction task: short order e-mails in English, their fields and an offline teacher."""
