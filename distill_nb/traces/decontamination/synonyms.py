"""Words that mean the same in problems, and words that do not although all around them is the same.

A general dictionary would do harm: `mean` is an average here, and `right` a side."""

# The first of a line stands for all of it.
_ALIKE = r"""
    a an
    only just
    list array vector dataset
    lists arrays vectors datasets
    sublist subarray
    sublists subarrays
    dictionary dict hashmap
    dictionaries dicts hashmaps
    tuple record
    tuples records
    largest maximum max greatest biggest highest maximal most longest
    smallest minimum min least lowest minimal shortest
    larger greater bigger higher longer
    smaller less lower fewer shorter
    frequency frequencies occurrence occurrences occurence occurences
    sum addition summation
    product multiplication multiply multiplying multiplied
    difference subtraction subtract subtracting subtracted substract
    quotient division divide dividing
    remainder modulo modulus mod
    average mean
    same equal identical
    common shared
    distinct unique different
    remove delete drop eliminate discard
    zero zeros zeroes
    every each all
    begin start beginning starting
    end ending finish
    position location index
    positions locations indices indexes
    letter alphabet
    letters alphabets
    simplify reduce
    factor factorise factorize
    written expressed represented expressible
    write express represent
    buy purchase
    bought purchased
    buys purchases
    big large
    small little
    quick fast
    child kid
    children kids
    automobile car
    begins starts
    somebody someone
    everybody everyone
    anybody anyone
    arranged ordered
    arrange order
    ascending increasing
    descending decreasing
    prefix prefixes
    suffix suffixes
    gcd hcf gcf \gcd
    lcm \lcm
    whole complete
    centimeter centimeters centimetre centimetres cm
    millimeter millimeters millimetre millimetres mm
    kilometer kilometers kilometre kilometres km
    meter meters metre metres
    kilogram kilograms kg
    gram grams
    mile miles
    foot feet ft
    inch inches
    mph mi
    hour hours hr hrs
    minute minutes
    second seconds
    degree degrees
    percent percentage
    dollar dollars
    cent cents
"""
SYNONYMS = {
    word: line.split()[0] for line in _ALIKE.strip().splitlines() for word in line.split()[1:]
}
# Of a line, one cannot stand for another: a problem in which one of them is gone and another one is
# new is another problem.
_OPPOSITES = r"""
    + -
    < > \le \ge
    \cup \cap
    \sin \cos \tan \cot \sec \csc
    sin cos tan cot sec csc
    largest smallest median average sum product
    larger smaller
    sum product difference quotient remainder
    even odd
    first last
    positive negative
    nonpositive nonnegative
    nonincreasing nondecreasing
    left right
    before after
    above below
    top bottom
    begin end
    row column
    rows columns
    union intersection
    ascending descending
    uppercase lowercase
    horizontal vertical
    clockwise counterclockwise
    inside outside
    nobody somebody everybody anybody
    nothing something everything anything
    none some every
    always never sometimes
    with without
    red blue green yellow black white
    boys girls
    men women
    area perimeter volume circumference
    domain range
    numerator denominator
    inscribed circumscribed
    square cube
    squares cubes
    real integer rational
    monday tuesday wednesday thursday friday saturday sunday
    buy sell
    bought sold
    win lose
    encode decode
    encrypt decrypt
    prime composite
    convex concave
    arithmetic geometric
    true false
    second third fourth fifth sixth
    equilateral isosceles scalene
    acute obtuse
    diameter radius
    append prepend
    same distinct
    row diagonal
    column diagonal
    prefix suffix
    gcd lcm
    gcd smallest
    lcm largest
    triangle square
    triangle rectangle circle trapezoid pentagon hexagon octagon
    square rectangle
    square circle
"""
# Three words in a row, as they are after SYNONYMS, for one.
PHRASES: dict[tuple[str, ...], str] = {
    ("largest", "common", "divisor"): "gcd",
    ("largest", "common", "factor"): "gcd",
    ("largest", "common", "divisors"): "gcd",
    ("largest", "common", "factors"): "gcd",
    ("smallest", "common", "multiple"): "lcm",
    ("smallest", "common", "multiples"): "lcm",
}
OPPOSITES = [frozenset(line.split()) for line in _OPPOSITES.strip().splitlines()]
OPPOSED = frozenset().union(*OPPOSITES)
