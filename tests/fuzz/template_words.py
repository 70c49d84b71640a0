"""The words that `fuzz_template.py` makes templates of: expressions by the kind of value that they
give, and methods and filters by the kind that they take and the kind that they give."""

from __future__ import annotations

KINDS = ("text", "number", "list", "table", "other")


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(" ;"))


TEXTS = _words(
    r"""'' ; 'a' ; 'ab' ; 'b' ; ' ' ; 'role' ; 'user' ; 'content' ; '\n' ; 'é' ; '1' ;
    '2.5' ; 'A, b' ; '%s' ; 'x' * 5 ; x ; y ; m.role ; m.content ; messages[0].content ;
    messages[1]['role'] ; bos_token ; messages[-1].content ; a ; '<|im_start|>'"""
)
WILD_TEXTS = _words(
    r"""'a' * 9999 ; 'ab' * 500000 ; '\n' * 300000 ; 'é' * 200000 ; ' a' * 100000 ;
    '9' * 900 ; 'a' * 1000 ~ 'b'"""
)
NUMBERS = _words(
    r"""0 ; 1 ; 2 ; 3 ; -1 ; 7 ; 2.5 ; true ; ns.a ; loop.index ; loop.index0 ;
    loop.length ; loop.revindex ; loop.depth ; n"""
)
WILD_NUMBERS = _words(r"""10 ** 9 ; 2 ** 4000 ; -3000000 ; 99999 ; 10 ** 300 ; 5000 ; 1e308 ; 32""")
LISTS = _words(
    r"""messages ; tools ; messages[1:] ; [] ; ['a', 'b', 'A'] ; [3, 1, 2] ; range(3) ;
    tools[0].parameters.n ; ('b', 'a') ; messages[::-1]"""
)
WILD_LISTS = _words(r"""('a,' * 999).split(',') ; range(99999) ; [x] * 9999 ; x.split()""")
TABLES = _words(
    r"""messages[0] ; tools[0] ; tools[0].parameters ; {'b': 1, 'a': 2} ; dict(a=1) ; m"""
)
OTHERS = _words(
    r"""none ; nothing ; documents ; add_generation_prompt ; loop.first ; loop.last ; m ;
    loop.previtem ; loop.nextitem ; ns ; loop ; m.nothing ; namespace(b=1)"""
)
METHODS: dict[str, tuple[str, ...]] = {
    "text text": _words(
        r"""upper() ; lower() ; strip() ; lstrip('a ') ; rstrip() ; title() ; capitalize() ;
        swapcase() ; replace('a', 'bc') ; replace('', '-', 2) ; join(['a', 'b']) ;
        join('abc') ; removeprefix('a') ; removesuffix('b') ; casefold() ; center(9) ;
        format(1) ; strip('a')"""
    ),
    "text list": _words(
        r"""split() ; split('a') ; split(',', 1) ; rsplit(' ', 1) ; splitlines() ;
        partition('a') ; rpartition(' ') ; splitlines(true) ; split(none, 1) ; encode()"""
    ),
    "text number": _words(
        r"""startswith('a') ; endswith(('a', 'b')) ; find('a') ; rfind('b') ; index('a') ;
        count('a') ; isdigit() ; isupper() ; isalpha() ; rindex('a') ; isspace() ; count('')"""
    ),
    "list number": _words(r"""count('a') ; index('a') ; count(1)"""),
    "list other": _words(r"""append(1) ; pop() ; copy()"""),
    "table list": _words(r"""items() ; keys() ; values()"""),
    "table other": _words(r"""get('role') ; get('x', 3) ; pop('a') ; update({}) ; copy()"""),
}
WILD_METHODS: dict[str, tuple[str, ...]] = {
    "text text": _words(
        r"""replace('a', x) ; join(x) ; strip('abc' * 9999) ; ljust(10 ** 9) ; replace('', x) ;
        title() ; casefold() ; zfill(10 ** 9) ; translate({}) ; expandtabs(10 ** 9) ;
        replace('a' * 1000 ~ 'b', '')"""
    ),
    "text list": _words(
        r"""rsplit('ba' * 999) ; split('a') ; splitlines() ; rpartition('a' * 4000 ~ 'b') ;
        split()"""
    ),
    "text number": _words(
        r"""rfind('a' * 5000 ~ 'b') ; find('a' * 1200 ~ 'b') ; count('aa') ;
        find('a' * 90 ~ 'b') ; rindex('a' * 999)"""
    ),
    "list number": _words(r"""count(x) ; index('a' * 999)"""),
}
FILTERS: dict[str, tuple[str, ...]] = {
    "text text": _words(
        r"""upper ; lower ; trim ; trim('a') ; string ; tojson ; replace('a', 'b') ; indent ;
        indent(2, true) ; indent('> ', blank=true) ; title ; capitalize ; safe ; first ;
        last ; default('d') ; d('d', true) ; reverse ; join('-') ; replace('', '.', 3)"""
    ),
    "text number": _words(r"""length ; count ; int ; int(3) ; int(base=16) ; float ; float(1.5)"""),
    "text list": _words(
        r"""list ; sort ; unique | list ; map('upper') | list ; select('in', 'ab') | list"""
    ),
    "number number": _words(
        r"""abs ; round ; round(1) ; round(1, 'floor') ; int ; float ; round(-1)"""
    ),
    "number text": _words(r"""string ; tojson ; upper ; default(3)"""),
    "list list": _words(
        r"""list ; sort(attribute='role') ; sort(attribute='role,content', reverse=true) ;
        unique(attribute='role') | list ; reverse | list ; map(attribute='role') | list ;
        map(attribute='x.y', default=0) | list ; select | list ; select('string') | list ;
        reject('none') | list ; selectattr('role') | list ;
        selectattr('role', 'equalto', 'user') | list ;
        rejectattr('content', 'eq', '') | list ; groupby('role') ;
        groupby('nothing', default='') ; map('default', 'z') | list ; map('string') | sort ;
        map('tojson') | list ; batch(2)"""
    ),
    "list number": _words(r"""length ; count ; sum ; map('length') | sum ; sum(start=1)"""),
    "list text": _words(
        r"""join ; join(', ') ; join('-', attribute='role') ; tojson ; tojson(indent=2) ;
        string ; map(attribute='role') | join(',') ; tojson(ensure_ascii=true)"""
    ),
    "list other": _words(
        r"""first ; last ; min ; max ; max(attribute='role') ; sum(start=[]) ; random"""
    ),
    "table list": _words(
        r"""items | list ; dictsort ; dictsort(by='value') ; list ; dictsort(true)"""
    ),
    "table text": _words(
        r"""tojson ; tojson(indent=1) ; string ; tojson(sort_keys=true) ; join('+')"""
    ),
    "table number": _words(r"""length"""),
    "other other": _words(r"""default('d') ; default(1) ; d([], true)"""),
    "other text": _words(r"""string ; upper ; default('d') | string"""),
}
WILD_FILTERS: dict[str, tuple[str, ...]] = {
    "text text": _words(
        r"""indent(10 ** 9) ; indent('a' * 99999) ; replace('a', 'b' * 99999) ; title ;
        join('a' * 99999) ; center(10 ** 9) ; wordwrap(1) ; tojson ; replace('', x)"""
    ),
    "text number": _words(r"""int(base=32) ; float ; int"""),
    "text list": _words(
        r"""list ; sort ; map('replace', '', 'a' * 999) | list ;
        map('map', 'map', 'map', 'list') | list ; select('in', x) | list"""
    ),
    "number number": _words(r"""round(-3000000) ; round(99999999) ; round(-300)"""),
    "list list": _words(
        r"""sort ; unique | list ; groupby('a' * 99999) ; sort(attribute='a.' * 9999) ;
        map('string') | list ; list ; reverse | list"""
    ),
    "list text": _words(
        r"""string ; tojson(indent=10 ** 9) ; join('a' * 99999) ; tojson(indent=40)"""
    ),
    "list other": _words(r"""sum(start=[]) ; sum(start=x) ; max ; min"""),
    "table list": _words(r"""dictsort"""),
}
TESTS = _words(
    r"""defined ; undefined ; none ; string ; number ; mapping ; sequence ; iterable ;
    boolean ; true ; eq 'a' ; equalto(1) ; in [1, 'a'] ; callable ; integer ; float ;
    sameas true ; ne none"""
)
NUMBER_TESTS = _words(r"""odd ; even ; divisibleby(2) ; divisibleby 3 ; ge 2 ; lt(1)""") + TESTS
TEXT_TESTS = _words(r"""lower ; upper ; filter ; test ; in 'abc'""") + TESTS
ARITHMETIC = _words(r"""+ ; - ; * ; / ; // ; % ; **""")
COMPARISONS = _words(r"""== ; != ; < ; <= ; > ; >=""")
