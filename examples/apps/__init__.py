"""Three LangChain apps in the styles of public code; each takes any chat model, also a student."""
