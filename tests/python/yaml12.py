"""Reading YAML as editors do: the scalars of YAML 1.2's core schema, and keys that JSON can have.

PyYAML reads YAML 1.1, in which `yes` is a boolean and `2027-02-01` a date.
"""

from __future__ import annotations

import re

import yaml


class Loader(yaml.SafeLoader):
    """The safe loader with the scalars of YAML 1.2."""

    yaml_implicit_resolvers: dict = {}

    def construct_mapping(self, node, deep=False):
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:str":
                raise yaml.constructor.ConstructorError(
                    None, None, "a key that is no text has no place in JSON", key.start_mark
                )
        return super().construct_mapping(node, deep)

    def construct_whole(self, node):
        text = node.value
        return int(text, 0) if text[:2] in ("0x", "0o") else int(text)


for tag, pattern, first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", list("-+0123456789.")),
    ("merge", r"<<", ["<"]),
):
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), first)
Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_whole)


def load(text: str):
    """The document as JSON values; `yaml.YAMLError` where it is none."""
    return yaml.load(text, Loader)
