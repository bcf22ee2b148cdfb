"""A user's own encoder as Snakemake's processes see it: the text of a class that the config names by its path.

`module: path/to/my_codec.py:MyCodec`. The file is not run; what must be known early stands there as literals. What a
job does with it is sonolens.encoders.own.
"""

import ast
import contextlib
import difflib
import math
from pathlib import Path

from sonolens import staleness

COUNTS = ("sample_rate_hz", "n_channels", "d_latent", "hop_samples")
COSTS = ("network_mb", "core_speed")  # sizing.Network
KINDS = ("continuous", "discrete")
METHODS = {"encode": "audio", "decode": "latents", "encode_batch": "audios"}
ENTRY_KEYS = {"name", "module", "frame_offset_frames"}  # which an entry of the config has beside options

JSON_TYPES = {
    "bool": "boolean",
    "int": "integer",
    "float": "number",
    "str": "string",
    "list": "array",
    "tuple": "array",
    "dict": "object",
    "None": "null",
}
NULLS = {"type": "null", "enum": None}  # how the two keys of a schema that name what is allowed allow nothing


def is_own(module: str) -> bool:
    """Whether a config's `module` means a user's file, not a module of this folder."""
    return ":" in module or "/" in module or module.endswith(".py")


def card(module: str, root: str | Path = "") -> dict:
    """The card of a user's encoder, from its text alone; relative paths are relative to `root`.

    The keys are those of the cards in this folder, and `takes_weights`. Raises ValueError that lists every fault with
    its line and what to do about it.
    """
    path, class_name = located(module, root)
    text = _ClassText(path, class_name)
    described = text.card()
    if text.faults:
        raise ValueError(f"{module} cannot be used as an encoder:\n    " + "\n    ".join(text.faults))
    return described


def code_files(module: str, root: str | Path = "") -> list[Path]:
    """A user's file, what it imports from beside it, directly or not, and the .yaml of the same name beside each.

    Unlike our own modules (sonolens.staleness) these may be packages, and import relatively. What is imported from
    this workflow is not among them. Raises ValueError for a file that is not Python.
    """
    path, _ = located(module, root)
    return staleness.reached(path.parent, [path], _imported)


def located(module: str, root: str | Path) -> tuple[Path, str]:
    """The file and the class that `module` names. Raises ValueError if the file is not there."""
    name, _, class_name = module.rpartition(":")
    if not name.endswith(".py") or not class_name.isidentifier():
        raise ValueError(f"'{module}' names no encoder; one of your own is path/to/file.py:ClassName")
    path = Path(root) / Path(name).expanduser()
    if not path.is_file():
        there = [str(Path(name).with_name(other.name)) for other in path.parent.glob("*.py")]
        hint = _near(name, there) or f" (a relative path starts at {Path(root).absolute()})"
        raise ValueError(f"there is no file {name}{hint}")
    return path, class_name


def _near(name: str, there: list[str]) -> str:
    near = difflib.get_close_matches(name, there, n=2)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), filename=str(path))
    except SyntaxError as error:
        raise ValueError(f"{path}, line {error.lineno}: this is not Python: {error.msg}") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as Python: {error}") from error


def _imported(file: Path, folder: Path) -> list[Path]:
    """Files under `folder` that `file` imports, anywhere in it, and the packages that they are in."""
    names = set()
    for node in ast.walk(_parsed(file)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = file.relative_to(folder).parts[: -node.level] if node.level else ()
            start = ".".join([*above, *([node.module] if node.module else [])])
            names |= {start, *(f"{start}.{alias.name}" for alias in node.names)}
    found = []
    for name in names:
        parts = [part for part in name.split(".") if part]
        for depth in range(1, len(parts) + 1):
            *packages, last = parts[:depth]
            found += [folder.joinpath(*packages, f"{last}.py"), folder.joinpath(*packages, last, "__init__.py")]
    return [path for path in found if path.is_file()]


class _ClassText:
    """What the text of one class says of an encoder, and everything in it that an encoder may not be like."""

    def __init__(self, path: Path, class_name: str):
        self.path, self.name = path, class_name
        self.tree = _parsed(path)
        classes = {node.name: node for node in self.tree.body if isinstance(node, ast.ClassDef)}
        if class_name not in classes:
            hint = _near(class_name, list(classes)) or f"; its classes are: {', '.join(classes) or 'none'}"
            raise ValueError(f"{path} defines no class {class_name}{hint}")
        self.node = classes[class_name]
        self.members = _members(self.node, classes)
        self.faults: list[str] = []

    def card(self) -> dict:
        """The card, of use only if there are no `faults` afterwards."""
        self._check_imports()
        described = {
            "title": self._constant("title", str, self.name),
            "licence": self._constant("licence", str, "not stated (an encoder of your own)"),
            "citation": self._constant("citation", str, "not stated (an encoder of your own)"),
            "kind": self._constant("kind", str, KINDS[0]),
            "trained": False,
            "files": [],
        }
        if described["kind"] not in KINDS:
            self._fault(self.members["kind"], f"kind is one of {', '.join(KINDS)}")
        described |= {name: self._count(name) for name in COUNTS}
        offset = self._constant("frame_offset_frames", (int, float), 0.5)
        if not math.isfinite(offset):
            self._fault(self.members["frame_offset_frames"], "frame_offset_frames is a finite number of frames")
        elif offset != 0.5:
            described["frame_offset_frames"] = offset
        if self._constant("causal", bool, False):
            described["causal"] = True
        described |= {name: self._cost(name) for name in COSTS if name in self.members}
        for name in METHODS:
            self._check_method(name)
        parameters = self._parameters()
        described["takes_weights"] = "weights" in parameters
        described["options"] = self._options(parameters)
        return described

    def _fault(self, node: ast.AST, text: str) -> None:
        self.faults.append(f"{self.path}, line {node.lineno}: {text}")

    def _check_imports(self) -> None:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                self._fault(
                    node, "the file is imported on its own, so a relative import fails: write it without the dots"
                )
            elif isinstance(node, ast.Import | ast.ImportFrom):
                names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
                if self.path.stem in [name.split(".")[0] for name in names]:
                    self._fault(node, f"import of '{self.path.stem}' finds this very file: give the file another name")

    def _constant(self, name: str, kind: type | tuple, default: object = None) -> object:
        """A literal class attribute; `default`, and a fault unless there is one, if it cannot be had."""
        if name not in self.members:
            if default is None:
                near = _near(name, list(self.members))
                self._fault(self.node, f"class {self.name} lacks `{name} = …` in its body, as a literal{near}")
            return default
        try:
            value = ast.literal_eval(self.members[name])
        except (ValueError, TypeError):
            self._fault(self.members[name], f"{name} is read without running the file: write the value itself")
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            wanted = {str: "text", int: "a whole number", bool: "True or False"}.get(kind, "a number")
            self._fault(self.members[name], f"{name} is {value!r}; {wanted} is expected")
            return default
        return value

    def _count(self, name: str) -> int | None:
        value = self._constant(name, int)
        if value is not None and value < 1:
            self._fault(self.members[name], f"{name} is {value}; it has to be 1 or more")
        return value

    def _cost(self, name: str) -> float | None:
        value = self._constant(name, (int, float))
        if value is not None and not 0 < value < math.inf:
            self._fault(self.members[name], f"{name} is {value}; it has to be above 0")
        return value

    def _check_method(self, name: str) -> None:
        given, method = METHODS[name], self.members.get(name)
        if method is None and name == "encode_batch":
            return
        if method is None:
            near = _near(name, list(self.members))
            self._fault(self.node, f"class {self.name} has no method {name}(self, {given}){near}")
            return
        if not isinstance(method, ast.FunctionDef):
            self._fault(method, f"{name} has to be a method, `def {name}(self, {given}):`")
            return
        positional, required = _own_arguments(method)
        missing = [argument for argument in required if argument not in positional[:1]]
        if missing or not positional:
            taken = ast.unparse(method.args)
            self._fault(
                method,
                f"{name} takes ({taken}), and is called as {name}({given}): `def {name}(self, {given}):`, "
                "whatever else it needs as parameters of __init__",
            )

    def _parameters(self) -> dict[str, tuple[ast.arg, ast.expr | None]]:
        """The parameters of __init__ but for self and device, with their defaults; they can all be given by name."""
        init = self.members.get("__init__")
        if not isinstance(init, ast.FunctionDef):
            self._fault(init or self.node, f"class {self.name} has no `def __init__(self, device):`")
            return {}
        arguments = init.args
        for unnamed in [*arguments.posonlyargs[1:], arguments.vararg, arguments.kwarg]:
            if unnamed:
                self._fault(unnamed, f"'{unnamed.arg}' of __init__: options are given by name, so write each out")
        positional = [*arguments.posonlyargs, *arguments.args]
        defaults = [*[None] * (len(positional) - len(arguments.defaults)), *arguments.defaults]
        pairs = [
            *zip(positional, defaults, strict=True),
            *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
        ]
        parameters = {argument.arg: (argument, default) for argument, default in pairs[1:]}
        if "device" not in parameters:
            self._fault(init, "__init__ has no parameter `device`, where it computes: `def __init__(self, device):`")
        parameters.pop("device", None)
        for name in parameters.keys() & ENTRY_KEYS:
            self._fault(
                parameters[name][0], f"'{name}' is a key of every entry in the config: call the option otherwise"
            )
        return parameters

    def _options(self, parameters: dict[str, tuple[ast.arg, ast.expr | None]]) -> dict:
        """A closed JSON schema of the parameters: types from plain annotations, else from defaults."""
        properties, required = {}, []
        for name, (argument, default) in parameters.items():
            if name == "weights":
                continue
            schema = {"description": f"Parameter of {self.name}.__init__ ({self.path.name}, line {argument.lineno})."}
            schema |= _annotated(argument.annotation)
            if default is None:
                required.append(name)
            else:
                try:
                    schema = _with_default(schema, ast.literal_eval(default))
                except (ValueError, TypeError):
                    self._fault(
                        default, f"the default of '{name}' is read without running the file: write a plain value"
                    )
            properties[name] = schema
        return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def _members(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> dict[str, ast.AST]:
    """Methods, and the values of attributes, of a class and of its bases that stand above it in the same file."""
    members = {}
    for base in reversed(node.bases):
        above = classes.get(base.id) if isinstance(base, ast.Name) else None
        if above and above.lineno < node.lineno:
            members |= _members(above, classes)
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef):
            members[statement.name] = statement
        elif isinstance(statement, ast.Assign):
            members |= {target.id: statement.value for target in statement.targets if isinstance(target, ast.Name)}
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
            members[statement.target.id] = statement.value
    return members


def _own_arguments(method: ast.FunctionDef) -> tuple[list[str], list[str]]:
    """Names of what a caller can give by position, and of what a caller has to give; self is neither."""
    arguments = method.args
    positional = [argument.arg for argument in [*arguments.posonlyargs, *arguments.args]]
    required = positional[: len(positional) - len(arguments.defaults)]
    if not any(isinstance(mark, ast.Name) and mark.id == "staticmethod" for mark in method.decorator_list):
        positional, required = positional[1:], required[1:]
    by_name = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return positional, [*required, *(argument.arg for argument, default in by_name if default is None)]


def _annotated(annotation: ast.expr | None) -> dict:
    """What a plain annotation says, in the words of a JSON schema; nothing if it is not plain."""
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value).split(".")[-1] == "Literal":
        with contextlib.suppress(ValueError):
            return {"enum": [ast.literal_eval(node) for node in getattr(annotation.slice, "elts", [annotation.slice])]}
    types = _types(annotation)
    return {"type": types} if types else {}


def _types(annotation: ast.expr | None) -> list[str]:
    """JSON's types for `int`, `list[str]`, `float | None` and the like; none if any part is something else."""
    if isinstance(annotation, ast.BinOp):
        left, right = _types(annotation.left), _types(annotation.right)
        return sorted({*left, *right}) if left and right else []
    if isinstance(annotation, ast.Subscript):
        annotation = annotation.value
    name = ast.unparse(annotation) if annotation else ""
    return [JSON_TYPES[name]] if name in JSON_TYPES else []


def _with_default(schema: dict, default: object) -> dict:
    """`schema` with a default that it allows, and its type if it names none. Raises TypeError as _plain does."""
    default = _plain(default)
    if default is None:
        allowed = {key: schema[key] for key in NULLS if key in schema}
        schema = schema | {key: [*values, *({NULLS[key]} - {*values})] for key, values in allowed.items()}
    elif not schema.keys() & NULLS.keys():
        # a whole number may be an example of any number
        schema = schema | {"type": [JSON_TYPES[type(default).__name__].replace("integer", "number")]}
    return schema | {"default": default}


def _plain(value: object) -> object:
    """A literal as YAML has it: tuples become lists. Raises TypeError for bytes, sets and complex numbers."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if not isinstance(value, str | bool | int | float | None):
        raise TypeError(f"{value!r} is no plain value")
    return value
