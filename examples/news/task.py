"""The sample task: polarity and emotion of the three sentences of a Portuguese financial news."""

from __future__ import annotations

from typing import Literal

from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, ConfigDict, Field

from understudy.chains import Task
from understudy.chains.offline import NewsTeacher


class Leitura(BaseModel):
    """A polaridade e a emoção de uma frase."""

    model_config = ConfigDict(extra="forbid")

    polaridade: Literal["Positivo", "Negativo", "Neutro"]
    emocao: Literal[
        "Felicidade", "Tristeza", "Raiva", "Nojo", "Medo", "Surpresa", "Desprezo", "Neutro"
    ]


class Noticia(BaseModel):
    """A classificação das três frases de uma notícia, com o raciocínio que leva a ela."""

    model_config = ConfigDict(extra="forbid")

    raciocinio: str = Field(
        max_length=300, description="Uma linha: para cada frase, a pista ou o fato que decide."
    )
    f1: Leitura
    f2: Leitura
    f3: Leitura


SYSTEM = """\
Você classifica notícias financeiras em português. Cada notícia tem três frases: f1, f2 e f3.
Para cada frase, escolha uma polaridade e uma emoção.

Polaridade: o efeito do que a frase relata para quem é afetado.
- Positivo: ganho, melhora, alívio ou conquista.
- Negativo: perda, piora, dano ou ameaça.
- Neutro: agenda, procedimento ou dado sem ganho nem perda.

Emoção (as seis de Ekman, desprezo e neutro): a que a frase expressa ou atribui a alguém.
- Felicidade: alegria, alívio, entusiasmo, comemoração.
- Tristeza: perda, luto, desânimo, decepção.
- Raiva: indignação, revolta, protesto, hostilidade.
- Nojo: repulsa, asco, aversão física ou moral.
- Medo: ameaça, apreensão, pânico, insegurança.
- Surpresa: o inesperado, espanto, assombro.
- Desprezo: desdém, deboche, arrogância, pouco-caso.
- Neutro: relato sem emoção.

Felicidade é Positivo; Tristeza, Raiva, Nojo, Medo e Desprezo são Negativo. Com Surpresa e com \
Neutro, o fato relatado decide a polaridade.

Pense passo a passo, uma frase de cada vez:
1. Procure a pista: a palavra que revela a emoção.
2. Se a pista é negada ("não", "sem", "nunca"), a emoção é Neutro.
3. Se há ressalva ("apesar de", "embora", "em vez de"), vale a pista da oração principal.
4. Sem emoção que decida a polaridade, diga se o fato é positivo, negativo ou neutro.
Escreva o raciocínio em uma linha de no máximo 300 caracteres, separando as frases com "; ".

Exemplo:
f1: Acionistas festejaram o lucro recorde do banco no trimestre.
f2: A diretoria divulgou sem alarme o atraso na obra da refinaria.
f3: Apesar do otimismo do governo, lojistas temem a alta dos juros.
{{"raciocinio":"f1: pista festejaram indica Felicidade; f2: pista alarme negada, fato atraso na \
obra é negativo; f3: ressalva otimismo, pista temem indica Medo",\
"f1":{{"polaridade":"Positivo","emocao":"Felicidade"}},\
"f2":{{"polaridade":"Negativo","emocao":"Neutro"}},\
"f3":{{"polaridade":"Negativo","emocao":"Medo"}}}}"""

QUESTION = "f1: {f1}\nf2: {f2}\nf3: {f3}"

OTHER_WRITINGS = {
    "Positivo": ("Positiva", "Positive"),
    "Negativo": ("Negativa", "Negative"),
    "Neutro": ("Neutra", "Neutral", "Nenhuma"),
    "Felicidade": ("Alegria", "Feliz", "Happiness", "Joy"),
    "Tristeza": ("Triste", "Sadness"),
    "Raiva": ("Ira", "Anger"),
    "Nojo": ("Aversão", "Repulsa", "Disgust"),
    "Medo": ("Fear",),
    "Surpresa": ("Surpreza", "Surprise"),
    "Desprezo": ("Desdém", "Contempt"),
}

task = Task(
    name="noticias",
    schema=Noticia,
    reasoning="raciocinio",
    prompt=ChatPromptTemplate.from_messages([("system", SYSTEM), ("human", QUESTION)]),
    student_prompt=ChatPromptTemplate.from_messages(
        [("human", f"Classifique a notícia abaixo conforme a polaridade e a emoção.\n{QUESTION}")]
    ),
    aliases={
        written: label
        for label, others in OTHER_WRITINGS.items()
        for name in (label, *others)
        for written in (name, name.lower(), name.upper())
        if written != label
    },
    columns={
        **{f"sentence{i}": f"f{i}" for i in (1, 2, 3)},
        **{f"sentence{i}_polarity": f"f{i}.polaridade" for i in (1, 2, 3)},
        **{f"sentence{i}_sentiment": f"f{i}.emocao" for i in (1, 2, 3)},
    },
    cue=r"pista ([\w-]+)",
    splits={
        "test": "Synthetic news drawn like the training rows; no sentence is in both.",
        "hard": "Synthetic news of evidence words, events and sentence frames that no training row "
        "has; the embedded base has met them in its pretraining text and its thesaurus, never with "
        "a label of this task.",
        "wild": "Realistic news written by hand, gold by one annotator; nobody has trained on it, "
        "and the embedded base has seen no such prose.",
    },
)

teacher = NewsTeacher()
