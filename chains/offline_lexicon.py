"""A general Portuguese lexicon: words of emotion, of denial and concession, good and bad news.

Entries are separated by white space. An entry that ends in "-" is a stem: it stands for every
word that begins with it and has at most nine more letters. Any other entry is the word itself.
"""

from __future__ import annotations

EMOTION_WORDS = {
    "Felicidade": """
        aclam- agradaram agradav- agradáv- agradec- agrado agradou alegr- alentad- alento alivia-
        alvoroç- anima animaç- animad- animar- ânimo animou aplaud- aplauso- bem-aventurad-
        bem-estar bem-humorad- bom-humor brindam brindaram brinde- brindou celebr- comemor-
        confraterniz- congratul- content- deleit- delícia- deliciad- embevec- empolg- encant-
        enlev- entusiasm- entusiást- esfuziante- esperanç- eufor- eufóric- êxtase extasi- exult-
        fascinad- felicidade felicit- feliz felizes fervor fervoros- festa festança festas festej-
        festiv- folia gargalh- gáudio glória- glorios- gozo grata gratas gratidão gratific- grato
        gratos jovia- jubil- júbil- ledice orgulh- otimis- parabeniz- prazer radiante- realizad-
        regal- regozij- rejubil- riram riso risonh- risos riu saltitante- satisf- seren- sorri
        sorria sorriam sorridente- sorriem sorriram sorriso- sorriu sossegad- sossego tranquil-
        triunf- ufano- ventura venturos- vibra vibraç- vibram vibrante- vibraram vibrou vitorios-
        vivas
    """,
    "Tristeza": """
        abalad- abatid- acabrunhad- aflição aflit- amargo amargos amargur- angustia- angústia
        arrasad- atorment- cabisbaix- carpi- chora choram choraram chorava- choro- comiseração
        comoção comovid- compungid- condolênci- consterna- contrist- decepc- decepç- definh-
        depressão depressiv- deprim- desalent- desampar- desanim- desânim- desapont- desconsol-
        descrent- desditos- desencant- desesperanç- desgost- desgraça- desilu- desol- desventura-
        devastad- dilacerad- dor dores enlut- entristec- fatalidade frustr- fúnebre- gemeram gemeu
        gemido- inconsol- infeliz- infortunad- infortúni- lacrim- lágrima- lament- lastim- lástima
        lúgubre- luto lutos macambúzi- mágoa- magoad- melancol- melancól- melindr- murch- nostalg-
        nostálg- padec- penaliz- pesadume pêsames pesar pesaros- prante- pranto- prostrad-
        quebrantad- saudad- saudos- sofr- soluçar- soluçava- soluço- sombria sombrias sombrio
        sombrios soturn- taciturn- tormento triste- tristonh-
    """,
    "Raiva": """
        agastad- agastam- agress- amaldiço- amotin- animosidade- azedume beligerân- berraram
        berro- bradam bradaram bradou brava bravas braveza bravo bravos brigaram brigou bufaram
        bufou cólera coléric- contrariad- desafiador- desaforad- descontentament- destempero-
        detest- emburrad- encoleriz- enfurec- enraiv- esbravej- escandaliz- espern- espum- exalt-
        exasper- furi- fúria furor hostil hostilid- hostiliz- hostis impaciên- impacient-
        implicân- inconform- indign- inflamad- inimizade injuri- injúria- insatisf- insult-
        insurg- ira iracund- irad- irrit- mal-humorad- odiaram ódio- odiou ofendid- ofensa-
        possessa possessos praguej- protest- raiva raivos- ralharam ralhou rancor- rebelaram
        rebelião rebelou reclama reclamam reclamaram reclamou repudi- repúdio ressent- revolta
        revoltad- revoltaram revoltas revoltou rispid- ríspid- rixa- rosn- rugiram rugiu trovej-
        tumult- vaia- vaiou vingança vingativ- virulên- vocifera- vociferou xing- zanga zangad-
        zangaram zangou
    """,
    "Nojo": """
        abjet- abomin- asco ascos asquead- asquer- aversão aversiv- bile cuspiram cuspiu enause-
        enfastiad- engulh- enjoad- enjoaram enjoo- enoj- escarr- fastio fedentina fedor- fétid-
        golfar- golfou imund- indecen- infam- malcheiros- nausea- náusea- nefand- nojeira nojent-
        nojo obscen- ojeriza pestilen- podr- porcaria pudrid- purulent- putref- pútrid- regurgit-
        repel- repugn- repuls- sebos- sórdid- sujeira torpe- vil vileza vomit- vômito-
    """,
    "Medo": """
        acanhad- acovard- acuad- acuaram acuou aflig- agonia agoniad- alarm- ameaç- amedront-
        ansied- ansios- apavor- apreens- arrepi- assombração assust- atemoriz- aterror- calafrio-
        cautelos- cism- covard- desassosseg- desconfi- desesper- empalidec- espavorid- estremec-
        fobia fobias fóbic- fragiliz- fugid- fugiram fugiu hesit- horror- incert- inquiet-
        insegur- intimidad- intranquil- medo medonh- medos medros- medrou nervos- pálid- pânico
        pávid- pavor- perig- preocup- pusilânime- recearam receia- receio- receos- receou
        sobressalt- suspense susto- teme temem temeram temeri- temeros- temeu temia temiam temid-
        temor- tensa tensas tenso tensos terror terrores timid- tímid- titube- treme tremem
        tremeram tremeu tremia- tremor tremores trêmul- vacil- vulnerab- vulneráv-
    """,
    "Surpresa": """
        abism- abobalhad- admiraç- admirad- admiraram admirou aparvalhad- arregal- assombr-
        atarant- atônit- atordoad- aturd- bestific- boqui- chocad- chocaram chocou desconcert-
        deslumbr- desprevenid- embasbac- emudec- espant- espavent- estarrec- estatel- estonte-
        estranharam estranhez- estranhou estupef- estupor exclamaram exclamou extasiad- fascínio
        fenomena- impressionad- imprevisíve- imprevist- improváve- inacreditá- inaudit- incredul-
        incrédul- incrív- inesper- inopinad- insólit- intrig- inusitad- maravilhad- maravilhament-
        maravilhos- milagr- mistério- pasm- perplex- repentin- súbit- surpreend- surpres-
    """,
    "Desprezo": """
        achincalh- altane- altiv- arrogan- avilt- caço- chacota- cínic- cinismo convencid- deboch-
        deprecia- desaforo desapreço desaten- descaso desconsidera- desdém- desdenh- desfeit-
        desinteress- desmerec- desprez- desqualific- desrespeit- displicen- displicên- empáfia
        enxovalh- escarnec- escárni- escarnin- esnob- gabol- galhof- gozação gozações humilh-
        ignoraram ignorou indiferen- inferioriz- insolência insolent- ironi- irôni- irreverên-
        jactânci- jactancios- ludibri- menoscab- menosprez- mesquinh- mofa mofaram mofas mofou
        motej- orgulhosamente pedant- pejorativ- pernóstic- petulân- petulant- piada- pouco-caso
        prepot- presunços- ridiculariz- risada- sarcas- sarcás- soberb- sobrancei- subestim-
        superioridade troç- vaidos- vilipend- vilipêndi- zomb-
    """,
}

DENIALS = """
    ausência_de deixa_de deixam_de deixaram_de deixavam_de deixou_de descarta descartam
    descartaram descartou dispensaram dispensou evita evitam evitaram evitou jamais longe_de
    nada_de não nega negam negaram negou nem nenhum nenhuma nenhumas nenhuns ninguém nunca
    pararam_de parou_de sem tampouco
"""
"""Words and phrases ("_" joins their words) that deny what follows them."""

NO_DENIALS = """
    não_apenas não_obstante não_raro não_só não_somente nem_sempre nem_só sem_contar sem_dúvida
    sem_dúvidas sem_precedentes
"""
"""Phrases that begin like a denial and deny nothing."""

CONCESSIONS = """
    a_despeito ainda_com ainda_que ao_invés apesar conquanto em_lugar em_vez embora malgrado
    mesmo_com mesmo_que mesmo_sob não_obstante nem_mesmo_com passada_a passadas_as passado_o
    passado_um passados_os por_mais_que se_bem_que
"""
"""What opens a concession; it reaches to the next comma or the end."""

TURNS = "mas porém contudo todavia entretanto no_entanto ainda_assim mesmo_assim"
"""What turns a sentence: the part before it is conceded."""

IDIOMS = """
    à_medida de_acordo_com de_graça em_alta em_festa em_nota por_causa_de por_conta_de segundo_a
    segundo_o sem_falta
"""
"""Fixed phrases whose words report nothing of their own."""

RISES = """
    acréscimo- alta altas ampliação aumento aumentos avanço avanços crescimento- disparada
    elevação expansão ganho- melhora melhoria- reajuste- recuperação reforço- salto subida-
    valorização
"""

RISING = """
    ampliar ampliaram ampliou aumenta aumentam aumentar aumentaram aumentou avança avançam
    avançar avançaram cresce crescem crescer cresceram cresceu dispara disparam dispararam
    disparou dobraram dobrou elevar elevaram elevou expandiram expandiu ganharam ganhou
    melhoraram melhorou recuperar recuperaram recuperou reforçaram reforçou saltaram saltou sobe
    sobem subir subiram subiu supera superaram superou triplicou valorizou
"""

FALLS = """
    alívio baixa baixas cancelamento corte cortes declínio desaceleração diminuição encerramento
    enfraquecimento fim perda- perdão queda- recuo recuos redução reduções retração suspensão
    término tombo-
"""

FALLING = """
    afundaram afundou caem cai cair caíram caiu cede cederam cedeu cortar cortaram cortou
    derreteu desabaram desabou despenca despencam despencaram despencou diminuem diminui
    diminuíram diminuiu encolhe encolhem encolheram encolheu perde perdem perder perderam perdeu
    pioraram piorou recua recuam recuar recuaram recuou reduz reduzem reduzir reduziram reduziu
    tombou
"""

GOOD_THINGS = """
    ações aposentadoria- atendimento benefício- biblioteca bolsa bolsas colheita- confiança
    consumo crédito demanda dividendo- economia emprego- equipe exportaç- faturamento frota horta
    indústria investimento- leitos lucro- margem merenda movimento oferta ônibus orçamento pensão
    pib poupança produção produtividade receita- rede renda- safra- salário- serviço- transporte
    turismo vaga vagas varejo venda- verba verbas
"""

BAD_THINGS = """
    acidente- aluguel assalto- atraso- calote- casos cesta combustíve- conta crime- custo- déficit
    dengue desemprego desmatamento desperdício dívida- dólar endividamento evasão falência- febre
    fila- fome fraude- gás gasolina greve homicídio- imposto- inadimplência inflação juro juros
    lixo mortalidade morte- multa- pandemia passagem passagens pedágio- pena pobreza poluição
    preço- prejuízo- roubo- seca surto tarifa- taxa- violência
"""

GOOD_FACTS = """
    abertura- absolvição abundância acesso acolhimento acordo- adoção alfabetização ampliação
    anistia apoio aprovação auxílio barateamento bicampeonato bolsa-família bonificação bônus
    campeonato chegada classificação conquista- consagração construção contratação contratações
    contrataram contratou criação cura curas descoberta- desconto- desentupimento despoluição
    doação doações duplicação eletrificação entrega- estreia êxito expansão fartura florescimento
    formatura ganharam ganhou gol gols gratificação gratuidade homenagem inauguraç- inaugurou
    inclusão indenização isenção lançamento- liberação libertação lucraram lucrou medalha- melhora
    melhoria melhorias modernização mutirão nascimento oficialização pacificação parceria
    pavimentação paz plantio premiação prêmio- progresso promoção promoções prosperidade quitação
    reabertura- reabriu reativação reconhecimento reconstrução recorde- recuperação reencontro
    reflorestamento reforma- regularização renascimento repatriação resgate- restauração
    restituição retomada- retorno- revitalização salvamento sobrevivência socorro solução sucesso-
    superávit superou título- trégua tricampeonato vacina vacinação valorização venceram venceu
    vitória- volta
"""

BAD_FACTS = """
    abandono- acidente- adulteração afogament- agressão alagament- ameaça- apagão apagões assalto-
    assassinat- ataque- atraso- atropelament- avaria- batida- bloqueio- briga- calote-
    cancelamento- cancelou carestia cassação catástrofe- chacina- cobrança- colapso- colisão
    colisões condenação confisco contaminação corrupção crise- danific- dano- demissão demissões
    demitiram demitiu demora- denúncia- depredação derramament- derrota- desabament-
    desabasteciment- desaparecimento- desastre- descarrilament- descumpriment- desfalque-
    desgaste- deslizamento- desmatament- desmoronament- desnutrição despedida- despej- desperdício
    destruição desvalorização desvio- deterioração devastação eliminação encalhe- enchente-
    engarrafament- epidemi- erosão erro- escândalo- escassez esgotament- estelionat- estiagem
    estupro- esvaziament- evasão explosão explosões expulsão extinção extorsão extravio-
    falecimento- falência- falha- faliu falta faltas fechamento- fecharam fechou ferimento- fome
    fraude- furto- golpe- granizo greve- guerra- homicídi- incêndio- infarto infecç- infestação
    interdição interrupç- intoxicação inundaç- invasão irregularidade- lentid- lesão lesões
    miséria morte- multa- mutilação naufrag- naufrágio- negligência pane paralisação perda-
    perseguiç- pichação pior piora poluição prejuízo- prisão propina- punição quebra- queda-
    queimada- racionamento- rebaixa- rebelião recessão rescisão ressaca retirada retrocesso-
    rombo- rompiment- roubo- ruína sabotage- saque- seca sequestro- sobrecarga sonegação
    soterrament- suborno- sumiço sumir superfaturament- surto- suspendeu suspensão tarifaço
    tempestade- temporal tiroteio- tombament- tragédia- trapaça- vandalismo vazament- vírus
"""

NEUTRAL_FACTS = """
    afixação agenda- ajuste- alteração análise- anúncio- apresentação arquivamento assembleia-
    assinatura- ata atas atualização audiência- avaliação avaliações balanço- cadastro-
    calendário- catalogação censo- cerimônia- checagem circular- classificações coleta-
    comparecimento concurso- conferênci- consolidação consulta- contagem contagen- contrato-
    convocação cotação- credenciament- cronograma- debate debates decreto- definição depoimento
    desfile- deslocament- digitalização discussão distribuição divulgação editais edital eleição
    eleições emenda- emissão encontro- ensaio- entrevista- escala- escolha- estudo- exposição
    feira- férias folheto- formulári- horário- impressão inscrição inscrições inspeção
    instalação inventário- leilão leitura levantament- licitação licitações lista- mapa-
    mapeament- marcação matrícula- medição missa- mudança- nomeação numeração ofício- pagamento-
    palestra- passagem pauta- pesagem pesquisa pesquisas pintura plano- plebiscito- portaria-
    posse prazo- processo- programação projeto- proposta- protocol- publicação publicidade
    questionári- recadastrament- recesso recontagem redação referendo- reformulação registro-
    regra- relatório- remanejament- remarcação remessa renovação requisição retificação reunião
    reuniões revisão rito- rodízio- romaria- roteiro- seminário- sessão simulação sinalização
    solenidade- solicitação sorteio- substituição tabela- tradução tramitação trâmite-
    transferência- treinament- triagem troca- turno- verificação viagem viagens visita-
    vistoria- votação
"""

TIMES_AND_PLACES = """
    ano bairro capital centro cidade dia domingo estado fim início interior leste litoral
    madrugada manhã mercado mês noite norte oeste país quarta quinta região sábado segunda semana
    semestre sertão sexta sul tarde terça trimestre
"""
"""Nouns of time and place: "greve no domingo" is a strike, not one of the Sunday."""
