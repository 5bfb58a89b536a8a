"""The notebook's style: `prompt | llm | PydanticOutputParser`, the schema told in the prompt.

Command: python -m understudy.examples.apps.parser runs/news
"""

from __future__ import annotations

import sys

from langchain_core.language_models import BaseChatModel
from langchain_core.output_parsers import PydanticOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable

from understudy.chains.offline import NewsTeacher
from understudy.examples.apps import Swapped, as_it_was
from understudy.examples.news.task import Noticia

SYSTEM = """\
Você classifica notícias financeiras. Para cada frase, escolha uma polaridade e uma emoção. \
Pense passo a passo e escreva o raciocínio em uma linha.

{format_instructions}"""

NEWS = {
    "f1": "Acionistas festejaram o lucro recorde do banco no trimestre.",
    "f2": "A diretoria divulgou sem alarme o atraso na obra da refinaria.",
    "f3": "Apesar do otimismo do governo, lojistas temem a alta dos juros.",
}


def build(llm: BaseChatModel, swapped: Swapped = as_it_was) -> Runnable[dict[str, str], Noticia]:
    """The app over a chat model: three sentences in, a Noticia out."""
    parser = PydanticOutputParser(pydantic_object=Noticia)
    prompt = ChatPromptTemplate.from_messages(
        [("system", SYSTEM), ("human", "f1: {f1}\nf2: {f2}\nf3: {f3}")]
    ).partial(format_instructions=parser.get_format_instructions())
    return swapped(prompt | llm | parser)


def main() -> None:
    """The embedded teacher, or the student in the run folder that is named."""
    llm: BaseChatModel = NewsTeacher()
    if len(sys.argv) > 1:
        from understudy.chains import ChatStudent

        llm = ChatStudent(model=sys.argv[1])
    sys.stdout.write(build(llm).invoke(NEWS).model_dump_json(indent=2) + "\n")


if __name__ == "__main__":
    main()
