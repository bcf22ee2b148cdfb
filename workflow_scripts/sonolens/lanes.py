"""Numbers that a processor handles side by side, in its registers: for compiled loops, where a compiler by itself would
go through memory.

Each function becomes one to a handful of instructions; on a processor whose registers are narrower the compiler splits
them. No index is checked, unless numba is told to check all of them (NUMBA_BOUNDSCHECK), and none may be negative.

Read: numba's documentation, "Low-level extension API", https://numba.readthedocs.io/en/stable/extending/low-level.html
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.extending import intrinsic, models, register_model

LANES = 16
LISTED_AT_ONCE = 8  # by `list_nonzero`, which writes as far as so many beyond the last that it lists

# Sums may be reordered; NaN and infinity keep their meaning
_FAST = ("reassoc", "contract", "nsz", "arcp")
_INDEX = ir.IntType(32)


class Lanes(types.Type):
    """LANES numbers of one dtype."""

    def __init__(self, number: types.Type):
        super().__init__(f"Lanes({number})")
        self.number = number


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, lanes):
        super().__init__(manager, lanes, ir.VectorType(manager[lanes.number].get_value_type(), LANES))


@intrinsic
def zeros(typing, like):
    """Lanes of the dtype of the array `like`, all 0."""

    def generate(context, builder, signature, args):
        return ir.Constant(context.get_value_type(signature.return_type), None)

    return Lanes(like.dtype)(like), generate


@intrinsic
def load(typing, rows, i, j):
    """rows[i, j : j + LANES]."""
    _require_c_order(rows)

    def generate(context, builder, signature, args):
        place = _place(context, builder, signature.args, args, 0, (1, 2), LANES)
        return builder.load(place, align=_itemsize(rows))

    return Lanes(rows.dtype)(rows, i, j), generate


@intrinsic
def store(typing, rows, i, j, lanes):
    """rows[i, j : j + LANES] = lanes."""
    _require_c_order(rows)

    def generate(context, builder, signature, args):
        place = _place(context, builder, signature.args, args, 0, (1, 2), LANES)
        builder.store(args[3], place, align=_itemsize(rows))
        return context.get_dummy_value()

    return types.none(rows, i, j, lanes), generate


@intrinsic
def add_product(typing, total, factor, lanes):
    """total + factor · lanes, where `factor` is a number or lanes."""

    def generate(context, builder, signature, args):
        factor_value = args[1] if isinstance(factor, Lanes) else _repeated(builder, args[1], LANES)
        return builder.fadd(args[0], builder.fmul(factor_value, args[2], flags=_FAST), flags=_FAST)

    return total(total, factor, lanes), generate


@intrinsic
def last_of(typing, lanes, n):
    """Of `lanes` the last n, and 0 in the others."""

    def generate(context, builder, signature, args):
        numbers = ir.Constant(ir.VectorType(_INDEX, LANES), list(range(LANES, 0, -1)))
        n_kept = _repeated(builder, context.cast(builder, args[1], n, types.uint32), LANES)
        is_kept = builder.icmp_unsigned("<=", numbers, n_kept)
        return builder.select(is_kept, args[0], ir.Constant(args[0].type, None))

    return lanes(lanes, n), generate


@intrinsic
def store_sums(typing, to, k, a, b, c, d):
    """to[k : k + 4] = the sums over a, b, c and d."""
    _require_c_order(to)

    def generate(context, builder, signature, args):
        # halves of all four are added to each other, until one number of each is left
        sums = _added_halves(builder, _added_halves(builder, *args[2:4], 16), _added_halves(builder, *args[4:6], 16), 8)
        for distance in (2, 1):
            swapped = _shuffled(builder, sums, sums, [lane ^ distance for lane in range(LANES)])
            sums = builder.fadd(sums, swapped, flags=_FAST)
        place = _place(context, builder, signature.args, args, 0, (1,), 4)
        builder.store(_shuffled(builder, sums, sums, [0, 4, 8, 12]), place, align=_itemsize(to))
        return context.get_dummy_value()

    return types.none(to, k, a, b, c, d), generate


@intrinsic
def four_of(typing, array, k):
    """array[k], …, array[k + 3], as a tuple."""
    _require_c_order(array)

    def generate(context, builder, signature, args):
        loaded = builder.load(_place(context, builder, signature.args, args, 0, (1,), 4), align=_itemsize(array))
        numbers = [builder.extract_element(loaded, _INDEX(lane)) for lane in range(4)]
        return context.make_tuple(builder, signature.return_type, numbers)

    return types.UniTuple(array.dtype, 4)(array, k), generate


@intrinsic
def list_nonzero(typing, to, k, bits, i, j):
    """Write those of j, …, j + 7 at which bits[i, ·] is not 0 to the uint32 to[k], …; returns where the next belong."""
    _require_c_order(to, bits)

    def generate(context, builder, signature, args):
        place = _place(context, builder, signature.args, args, 2, (3, 4), LISTED_AT_ONCE)
        loaded = builder.load(place, align=_itemsize(bits))
        is_nonzero = builder.icmp_unsigned("!=", loaded, ir.Constant(loaded.type, None))
        return _listed(context, builder, signature.args, args, is_nonzero, 4)

    return k(to, k, bits, i, j), generate


@intrinsic
def list_positive(typing, to, k, rows, addends, i, j):
    """The same for those at which rows[i, ·] + addends[·] is above 0, or not a number."""
    _require_c_order(to, rows, addends)

    def generate(context, builder, signature, args):
        place = _place(context, builder, signature.args, args, 2, (4, 5), LISTED_AT_ONCE)
        place_of_addends = _place(context, builder, signature.args, args, 3, (5,), LISTED_AT_ONCE)
        loaded = builder.load(place, align=_itemsize(rows))
        added = builder.load(place_of_addends, align=_itemsize(addends))
        is_positive = builder.fcmp_unordered(">", builder.fadd(loaded, added), ir.Constant(loaded.type, None))
        return _listed(context, builder, signature.args, args, is_positive, 5)

    return k(to, k, rows, addends, i, j), generate


def _listed(context, builder, arg_types, args, is_listed: ir.Value, first: int) -> ir.Value:
    """Of the numbers from args[first] on, write those that are listed to args[0][args[1]], …; where the next belong.

    Without a branch, which would be guessed wrongly as often as not: what each of the 256 patterns lists is looked up.
    """
    pattern = builder.zext(builder.bitcast(is_listed, ir.IntType(LISTED_AT_ONCE)), _INDEX)
    listed = builder.load(builder.gep(_patterns(builder), [_INDEX(0), pattern]), align=LISTED_AT_ONCE)
    listed = builder.zext(listed, ir.VectorType(_INDEX, LISTED_AT_ONCE))
    numbers = _repeated(builder, context.cast(builder, args[first], arg_types[first], types.uint32), LISTED_AT_ONCE)
    place = _place(context, builder, arg_types, args, 0, (1,), LISTED_AT_ONCE)
    builder.store(builder.add(numbers, listed), place, align=_itemsize(arg_types[0]))
    return builder.add(args[1], builder.zext(builder.ctpop(pattern), args[1].type))


def _place(context, builder, arg_types, args, array: int, indices: tuple[int, ...], n: int) -> ir.Value:
    """Where in the array that is argument number `array` the `n` numbers from the indices (argument numbers) on lie."""
    array_type = arg_types[array]
    struct = context.make_array(array_type)(context, builder, args[array])
    at = [context.cast(builder, args[index], arg_types[index], types.intp) for index in indices]
    if context.enable_boundscheck:
        last = [*at[:-1], builder.add(at[-1], at[-1].type(n - 1))]
        cgutils.get_item_pointer(context, builder, array_type, struct, last, boundscheck=True)
    place = cgutils.get_item_pointer(context, builder, array_type, struct, at)
    return builder.bitcast(place, ir.VectorType(context.get_value_type(array_type.dtype), n).as_pointer())


def _itemsize(array: types.Array) -> int:
    """In bytes, and what the place of a number is a multiple of."""
    return array.dtype.bitwidth // 8


def _require_c_order(*arrays: types.Array) -> None:
    for array in arrays:
        if array.layout != "C":
            raise TypingError("numbers that are handled side by side have to lie so, in an array in C order")


def _shuffled(builder, a, b, lanes: list[int]) -> ir.Value:
    """Those of a, then of b, that have the numbers `lanes`."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_INDEX, len(lanes)), lanes))


def _repeated(builder, number, n: int) -> ir.Value:
    undefined = ir.Constant(ir.VectorType(number.type, n), ir.Undefined)
    return _shuffled(builder, builder.insert_element(undefined, number, _INDEX(0)), undefined, [0] * n)


def _added_halves(builder, a, b, width: int) -> ir.Value:
    """Of each `width` lanes of a, then of b, the one half plus the other."""
    first_halves = [lane for lane in range(2 * LANES) if lane % width < width // 2]
    second_halves = [lane + width // 2 for lane in first_halves]
    return builder.fadd(_shuffled(builder, a, b, first_halves), _shuffled(builder, a, b, second_halves), flags=_FAST)


def _patterns(builder) -> ir.Value:
    """Of each pattern of eight bits, the numbers of those that are set, and zeros after them: uint8 (256, 8)."""
    row_type = ir.VectorType(ir.IntType(8), LISTED_AT_ONCE)
    rows = []
    for pattern in range(2**LISTED_AT_ONCE):
        set_bits = [bit for bit in range(LISTED_AT_ONCE) if pattern >> bit & 1]
        rows.append(ir.Constant(row_type, set_bits + [0] * (LISTED_AT_ONCE - len(set_bits))))
    table = ir.Constant(ir.ArrayType(row_type, len(rows)), rows)
    return cgutils.global_constant(builder.module, "sonolens_patterns", table)
