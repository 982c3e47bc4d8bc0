"""Fenced code blocks."""

import pytest

from distill_nb.grading.blocks import Block, blocks

FENCED = [
    ("```python\na\n```", ["a\n"]),
    ("```\na\n```\n~~~py\nb\n~~~", ["a\n", "b\n"]),
    ("1. So:\n\n    ```python\n    def f():\n        pass\n    ```\n", ["def f():\n    pass\n"]),
    ("```python\r\na\r\n\r\nb\r\n```\r\n", ["a\n\nb\n"]),
    ("````\n```\na\n```\n````", ["```\na\n```\n"]),
    ("````\n```\na\n```\n", ["a\n"]),
    ("```python\na", []),
    ("``` a ``` b\n", []),
    ("```\n```", [""]),
    ("~~~\n```\na\n```", ["a\n"]),
    ("```\na\n~~~\n```", ["a\n~~~\n"]),
    ("```\na\n`````  \nb", ["a\n"]),
    ("- ```python\n  def f():\n      pass\n  ```\n", ["def f():\n    pass\n"]),
    ("1. ```python\n   a\n   ```\n2. ```\n   b\n   ```", ["a\n", "b\n"]),
    ("> So:\n> ```\n> def f():\n>     pass\n> ```\n", ["def f():\n    pass\n"]),
    ("> - ```\n>   a\n>   ```\n", ["a\n"]),
    ("```python\na -\n\nAgain:\n\n```python\na\n```", ["a\n"]),
    ("```markdown\nSo:\n```python\na\n```\n```", ["a\n"]),
    ("```\na\n```python\nb", []),
    (
        '```\n"""\n    ```python\n    f()\n    ```\n"""\n```',
        ['"""\n    ```python\n    f()\n    ```\n"""\n'],
    ),
    ('```\n"""\n    ```\n    f()\n    ```\n"""\n```', ['"""\n    ```\n    f()\n    ```\n"""\n']),
]


@pytest.mark.parametrize(("text", "contents"), FENCED)
def test_fenced_blocks(text, contents):
    assert [block.code for block in blocks(text)] == contents


@pytest.mark.parametrize(
    ("info", "language"),
    [
        ("python", "python"),
        ("Python", "python"),
        (" python3 title=a.py", "python3"),
        ("{python}", "python"),
        ("{.python .numberLines}", "python"),
        ("python:main.py", "python"),
        ("c++", "c++"),
        ("", ""),
        ("{}", ""),
    ],
)
def test_the_language_of_a_block(info, language):
    assert blocks(f"```{info}\na\n```") == [Block(language, "a\n")]


def test_a_text_may_end_its_last_block():
    assert blocks("```\na\n```\n```py\nb", unclosed=True) == [Block("", "a\n"), Block("py", "b\n")]
    assert blocks("a", unclosed=True) == []
