"""Names and links of which a card states only the pattern: main_dataset/{split}/{number}.tar.bz2."""

import re

PLACEHOLDER = re.compile(r"{(\w+)}")


def is_template(name: str) -> bool:
    """Whether it has placeholders."""
    return PLACEHOLDER.search(name) is not None


def values_in(name: str, template: str) -> dict[str, str] | None:
    """What the placeholders of `template` stand for in `name`, no slash among it; None if it is not of that pattern."""
    pattern, position, seen = "", 0, set()
    for found in PLACEHOLDER.finditer(template):
        key = found[1]
        pattern += re.escape(template[position : found.start()])
        pattern += f"(?P={key})" if key in seen else f"(?P<{key}>[^/{{}}]+)"
        position = found.end()
        seen.add(key)
    matched = re.fullmatch(pattern + re.escape(template[position:]), name)
    return None if matched is None else matched.groupdict()


def filled(text: str, values: dict[str, str]) -> str:
    """`text` with the values in place of their placeholders; other braces are left as they are."""
    return PLACEHOLDER.sub(lambda found: values[found[1]] if found[1] in values else found[0], text)
