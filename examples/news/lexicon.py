"""The words of the news task: evidence words per emotion, events per polarity, frames, scenery.

Each list is written "shown | held out": what stands after the bar never occurs in the train pool
and is what the hard split is made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["plain", "negated", "contrast", "neutral"]
WordClass = Literal["noun", "adjective", "verb"]
Gender = Literal["m", "f"]

EMOTIONS = ("Felicidade", "Tristeza", "Raiva", "Nojo", "Medo", "Surpresa", "Desprezo")
NEUTRAL = "Neutro"
POLARITIES = ("Positivo", "Negativo", "Neutro")

# The emotions that settle the polarity; for Surpresa and Neutro the event does.
POLARITY_OF_EMOTION = {
    "Felicidade": "Positivo",
    "Tristeza": "Negativo",
    "Raiva": "Negativo",
    "Nojo": "Negativo",
    "Medo": "Negativo",
    "Desprezo": "Negativo",
}


@dataclass(frozen=True)
class Word:
    """An evidence word: a noun, an adjective (masculine and feminine plural) or a verb."""

    masculine: str
    feminine: str
    word_class: WordClass
    emotion: str
    held_out: bool
    gender: Gender = "m"

    def agreeing_with(self, gender: Gender) -> str:
        """The form that goes with a subject of this gender."""
        return self.feminine if gender == "f" else self.masculine


@dataclass(frozen=True)
class Event:
    """What happened: a noun phrase without article, its gender, polarity and subject area."""

    phrase: str
    gender: Gender
    polarity: str
    area: str
    held_out: bool


@dataclass(frozen=True)
class Frame:
    """A sentence template; `cue` is the word class of its evidence word, if it has one."""

    kind: Kind
    cue: WordClass | None
    template: str
    held_out: bool


@dataclass(frozen=True)
class Subject:
    """Who the sentence is about (plural, without article) and the sector they belong to."""

    name: str
    gender: Gender
    sector: str


_NOUNS = {
    "Felicidade": "a alegria, a euforia, o entusiasmo, o contentamento, o júbilo, a satisfação,"
    " a felicidade, o deleite | o otimismo, o encanto, o regozijo, a empolgação",
    "Tristeza": "o luto, o pesar, a tristeza, a melancolia, a saudade, a desolação, a amargura,"
    " o pranto | a consternação, o desânimo, o lamento, a mágoa",
    "Raiva": "a raiva, a fúria, a revolta, a indignação, a ira, a cólera, o rancor, o furor"
    " | o ódio, a irritação, a exaltação, a hostilidade",
    "Nojo": "o nojo, o asco, a repulsa, a náusea, a repugnância, o enjoo, a ojeriza, o vômito"
    " | a aversão, o engulho, a imundície, a podridão",
    "Medo": "o medo, o pânico, o pavor, o terror, o temor, a apreensão, o alarme, o receio"
    " | a aflição, o susto, a insegurança, o horror",
    "Surpresa": "a surpresa, o espanto, o assombro, a perplexidade, a estupefação, o pasmo,"
    " a incredulidade, a estranheza | o estupor, o desconcerto, o estranhamento, o arrebatamento",
    "Desprezo": "o desprezo, o desdém, o escárnio, o deboche, o menosprezo, a zombaria,"
    " o sarcasmo, a chacota | a ironia, a arrogância, a soberba, o cinismo",
}

_ADJECTIVES = {
    "Felicidade": "felizes, alegres, eufóricos, contentes, radiantes, satisfeitos, animados,"
    " realizados, exultantes | orgulhosos, encantados, empolgados, jubilosos",
    "Tristeza": "tristes, abatidos, enlutados, desolados, deprimidos, cabisbaixos, amargurados,"
    " chorosos, pesarosos | inconsoláveis, consternados, desanimados, melancólicos",
    "Raiva": "furiosos, revoltados, indignados, irados, enraivecidos, exaltados, raivosos,"
    " coléricos, zangados | irritados, enfurecidos, possessos, iracundos",
    "Nojo": "enojados, repugnados, nauseados, enjoados, asqueados, engulhados, embrulhados,"
    " enauseados | repelidos, enfastiados, estomagados, avessos",
    "Medo": "assustados, apavorados, aterrorizados, temerosos, amedrontados, apreensivos,"
    " receosos, medrosos, aflitos | inseguros, alarmados, acuados, horrorizados",
    "Surpresa": "surpresos, espantados, perplexos, atônitos, pasmos, estupefatos, surpreendidos,"
    " abismados, admirados | boquiabertos, incrédulos, assombrados, desconcertados",
    "Desprezo": "desdenhosos, debochados, irônicos, sarcásticos, zombeteiros, altivos, arrogantes,"
    " desrespeitosos | esnobes, cínicos, soberbos, insolentes",
}

_VERBS = {
    "Felicidade": "comemoraram, celebraram, festejaram, aplaudiram, vibraram, brindaram"
    " | sorriram, cantaram, exultaram",
    "Tristeza": "choraram, lamentaram, prantearam, soluçaram, sofreram, entristeceram"
    " | desabaram, suspiraram, lacrimejaram",
    "Raiva": "protestaram, esbravejaram, gritaram, xingaram, bradaram, explodiram"
    " | vaiaram, berraram, rosnaram",
    "Nojo": "vomitaram, cuspiram, enjoaram, nausearam, regurgitaram | engulharam, escarraram",
    "Medo": "fugiram, tremeram, temeram, gelaram, paralisaram, estremeceram"
    " | escaparam, correram, empalideceram",
    "Surpresa": "pasmaram, estranharam, emudeceram, exclamaram, embasbacaram"
    " | titubearam, assombraram",
    "Desprezo": "debocharam, zombaram, desdenharam, ironizaram, troçaram | caçoaram, escarneceram",
}

_EVENTS = {
    "Positivo": "a alta do emprego=Economia, a vitória da equipe=Esporte,"
    " a inauguração do hospital=Saúde, a cura do paciente=Saúde, a queda da inflação=Economia,"
    " a reabertura da escola=Educação, a entrega das casas=Cidade, o aumento do salário=Economia,"
    " a aprovação da vacina=Saúde, o resgate das crianças=Cidade, a conquista da medalha=Esporte,"
    " o prêmio da orquestra=Cultura, a reforma da praça=Cidade, o acesso à creche=Educação"
    " | a ampliação do crédito=Economia, o título do clube=Esporte, a doação de livros=Educação,"
    " a melhora do ar=Saúde, o retorno do trem=Cidade",
    "Negativo": "a queda da ponte=Cidade, a demissão de operários=Economia,"
    " a morte do ator=Cultura, a greve dos médicos=Saúde, a alta da inflação=Economia,"
    " a enchente do rio=Cidade, a fraude no contrato=Política, o incêndio do museu=Cultura,"
    " a explosão no depósito=Cidade, a derrota da equipe=Esporte, a falta de remédios=Saúde,"
    " o fechamento da escola=Educação, o desvio de verbas=Política, o corte do salário=Economia"
    " | a quebra da safra=Economia, o surto de dengue=Saúde, o roubo do acervo=Cultura,"
    " o rebaixamento do clube=Esporte, a evasão de alunos=Educação",
    "Neutro": "a votação do orçamento=Política, a reunião do conselho=Política,"
    " a troca do secretário=Política, a mudança do horário=Cidade, o edital do concurso=Educação,"
    " a revisão do cadastro=Economia, a visita do ministro=Política, o sorteio dos jogos=Esporte,"
    " a agenda do congresso=Política, a leitura do relatório=Política, o censo da cidade=Cidade,"
    " o registro de peças=Cultura, a consulta ao público=Cidade, o calendário escolar=Educação"
    " | a escolha do relator=Política, o ensaio da banda=Cultura, a pesquisa de preços=Economia,"
    " o cadastro de atletas=Esporte, a contagem de leitos=Saúde",
}

# ev_o, ev_do: the event with its article, alone and after "de"; {muito} agrees with the noun.
_FRAMES: dict[tuple[Kind, WordClass | None], str] = {
    ("plain", "adjective"): "{s} ficaram {cue} com {ev_o} {p}; {ev_o} deixou {s} {cue} {p};"
    " {d}, {s} estão {cue} desde {ev_o}; {t}, {s} pareciam {cue} por causa {ev_do}"
    " | {p}, {s} continuam {cue} {t} com {ev_o}; {ev_o} tornou {s} {cue} {t}",
    ("plain", "noun"): "{ev_o} provocou {cue} entre {s} {p}; houve {cue} {p} depois {ev_do};"
    " {t}, {s} falaram com {cue} sobre {ev_o}; {s} sentiram {muito} {cue} {t} após {ev_o}"
    " | {s} receberam com {cue} {ev_o}; {p}, {ev_o} trouxe {muito} {cue} {t}",
    ("plain", "verb"): "{s} {cue} {t} diante {ev_do}; {t}, {s} {cue} após {ev_o};"
    " ao saber {ev_do}, {s} {cue} {p} | {d}, {s} {cue} {p} com {ev_o};"
    " {s} {cue} quando souberam {ev_do}",
    ("negated", "adjective"): "{s} não ficaram {cue} com {ev_o} {p};"
    " {d}, {s} nunca estiveram {cue} por causa {ev_do}; {ev_o} não deixou {s} {cue} {p}"
    " | {p}, {s} não continuam {cue} {t} com {ev_o}",
    ("negated", "noun"): "{s} acompanharam sem {cue} {ev_o} {p};"
    " {ev_o} não provocou {cue} entre {s} {p} | não houve {cue} {p} depois {ev_do}",
    ("negated", "verb"): "{s} não {cue} {t} diante {ev_do}; {t}, {s} não {cue} após {ev_o}"
    " | {d}, {s} não {cue} {p} com {ev_o}",
    ("contrast", "adjective"): "apesar do clima de {other}, {s} ficaram {cue} com {ev_o};"
    " {ev_o} deixou {s} {cue} {p}, apesar do clima de {other}"
    " | mesmo com {other} {p}, {s} continuam {cue} com {ev_o}",
    ("contrast", "noun"): "em vez de {other}, {ev_o} provocou {cue} {p}"
    " | mesmo com {other} {p}, {s} receberam com {cue} {ev_o}",
    ("contrast", "verb"): "embora houvesse {other} {p}, {s} {cue} após {ev_o}"
    " | passado o clima de {other}, {s} {cue} {t} com {ev_o}",
    ("neutral", None): "{s} {act} {ev_o} {p}; {d}, {s} {act} {t} {ev_o}; {ev_o} ocorre {t} {p};"
    " {t}, o jornal trouxe uma nota sobre {ev_o}; {ev_o} está na pauta {t} {p}"
    " | {t}, {s} {act} {p} {ev_o}",
}

# What marks a sentence as negated (before the cue) or as a contrast (right before the other word).
NEGATIONS = ("não", "nunca", "sem")
CONCESSIONS = (
    "apesar do clima de",
    "embora houvesse",
    "em vez de",
    "mesmo com",
    "passado o clima de",
)

_SECTORS = {
    "Povo": "moradores, vizinhos, eleitores, passageiros, turistas, motoristas, pacientes,"
    " famílias f",
    "Governo": "servidores, policiais, bombeiros, deputados, vereadoras f",
    "Trabalho": "comerciantes, agricultores, operários, pescadores, empresários, costureiras f",
    "Estudo": "professores, estudantes, pesquisadores, diretoras f",
    "Lazer": "torcedores, artistas, músicos, dançarinas f",
}

REGION_OF_PLACE = {
    "no Recife": "Nordeste",
    "em Salvador": "Nordeste",
    "em Fortaleza": "Nordeste",
    "em Natal": "Nordeste",
    "em Maceió": "Nordeste",
    "no sertão": "Nordeste",
    "no Rio": "Sudeste",
    "em Vitória": "Sudeste",
    "no interior paulista": "Sudeste",
    "em Curitiba": "Sul",
    "em Porto Alegre": "Sul",
    "em Manaus": "Norte",
    "em Belém": "Norte",
    "em Goiânia": "Centro",
    "em Brasília": "Centro",
    "em Cuiabá": "Centro",
}

PERIOD_OF_TIME = {
    "ontem": "Recente",
    "hoje": "Recente",
    "na segunda": "Semana",
    "na terça": "Semana",
    "na quarta": "Semana",
    "na quinta": "Semana",
    "na sexta": "Semana",
    "no sábado": "Folga",
    "no domingo": "Folga",
    "neste mês": "Longo",
    "nesta semana": "Longo",
    "de manhã": "Turno",
    "à tarde": "Turno",
    "à noite": "Turno",
}

SOURCES = (
    "segundo a prefeitura",
    "conforme o jornal",
    "de acordo com a nota",
    "segundo a agência",
    "conforme o boletim",
    "segundo testemunhas",
    "de acordo com o sindicato",
    "conforme a rádio",
)

# Verbs of the sentences without evidence.
ACTS = (
    "discutiram",
    "acompanharam",
    "comentaram",
    "registraram",
    "aguardaram",
    "analisaram",
    "debateram",
    "observaram",
)


def _halves(text: str, separator: str) -> list[tuple[str, bool]]:
    """'a, b | c' as [('a', False), ('b', False), ('c', True)]."""
    shown, held = text.split("|")
    return [
        (item.strip(), held_out)
        for part, held_out in ((shown, False), (held, True))
        for item in part.split(separator)
    ]


def _gender_of_article(article: str) -> Gender:
    return "f" if article == "a" else "m"


def _nouns(emotion: str) -> list[Word]:
    found = []
    for item, held_out in _halves(_NOUNS[emotion], ","):
        article, noun = item.split(" ")
        gender = _gender_of_article(article)
        found.append(Word(noun, noun, "noun", emotion, held_out, gender))
    return found


def _adjectives(emotion: str) -> list[Word]:
    return [
        Word(form, feminine_plural(form), "adjective", emotion, held_out)
        for form, held_out in _halves(_ADJECTIVES[emotion], ",")
    ]


def _verbs(emotion: str) -> list[Word]:
    halves = _halves(_VERBS[emotion], ",")
    return [Word(form, form, "verb", emotion, held_out) for form, held_out in halves]


def feminine_plural(adjective: str) -> str:
    """furiosos -> furiosas; adjectives in -es (felizes, tristes) have one form for both."""
    return adjective[:-2] + "as" if adjective.endswith("os") else adjective


def _events(polarity: str) -> list[Event]:
    found = []
    for item, held_out in _halves(_EVENTS[polarity], ","):
        phrase, area = item.split("=")
        article, rest = phrase.split(" ", 1)
        found.append(Event(rest, _gender_of_article(article), polarity, area, held_out))
    return found


def _subjects() -> list[Subject]:
    found = []
    for sector, names in _SECTORS.items():
        for item in names.split(", "):
            name, _, mark = item.partition(" ")
            found.append(Subject(name, "f" if mark else "m", sector))
    return found


WORDS: tuple[Word, ...] = tuple(
    word for emotion in EMOTIONS for part in (_nouns, _adjectives, _verbs) for word in part(emotion)
)
EVENTS: tuple[Event, ...] = tuple(event for polarity in POLARITIES for event in _events(polarity))
FRAMES: tuple[Frame, ...] = tuple(
    Frame(kind, cue, template, held_out)
    for (kind, cue), templates in _FRAMES.items()
    for template, held_out in _halves(templates, ";")
)
SUBJECTS: tuple[Subject, ...] = tuple(_subjects())
