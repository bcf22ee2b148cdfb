"""The compiled loops of training: what lies between the matrix products, and the products of codes that are mostly 0.

Called by `elementwise.py` and `sparse_products.py`, which say what each is for; formulas and shapes are those of
`gradients.py`. They stand in one file, since what is compiled is kept until the file changes. bf16 numbers are handled
as the upper halves of fp32 ones, since neither numpy nor numba knows them.
"""

import numpy as np

from sonolens.kernels import kernel
from sonolens.lanes import (
    LANES,
    LISTED_AT_ONCE,
    add_product,
    four_of,
    last_of,
    list_nonzero,
    list_positive,
    load,
    store,
    store_sums,
    zeros,
)

# Sums may be reordered, so that they are vectorised; NaN and infinity keep their meaning
_FAST = {"fastmath": {"reassoc", "contract", "nsz", "arcp"}, "error_model": "numpy"}


@kernel(**_FAST)
def relu_with_sums(h, bias, sums, square_sums):
    zero = h.dtype.type(0)
    n_active = 0
    for row in range(h.shape[0]):
        total, square_total = zero, zero
        n_active_here = np.int32(0)
        for j in range(h.shape[1]):
            value = h[row, j] + bias[j]
            value = zero if value <= zero else value  # NaN stays
            h[row, j] = value
            total += value
            square_total += value * value
            n_active_here += np.int32(value != zero)
        sums[row], square_sums[row] = total, square_total
        n_active += n_active_here
    return n_active


@kernel(**_FAST)
def frame_terms(
    decoded, x, hidden_sum, hidden_square_sum, b_dec, b_dec_gradient, inverse_rms, residual, scaled_residual,
    scaled_frame, addend, factor, n_features, eps, slope, share, is_normalised,
):  # fmt: skip
    n_frames, d_latent = x.shape
    number = x.dtype.type
    square_total, l1_total = 0.0, 0.0
    slope, share = number(slope), number(share)
    for row in range(n_frames):
        r = number(1) / np.sqrt(hidden_square_sum[row] / number(n_features) + number(eps))
        square_sum, along_f = number(0), number(0)
        for d in range(d_latent):
            reconstructed = decoded[row, d] * r  # x̂ − b_dec
            error = reconstructed + b_dec[d] - x[row, d]
            e = error * share
            residual[row, d], scaled_residual[row, d], scaled_frame[row, d] = e, e * r, x[row, d] * r
            b_dec_gradient[d] += e
            square_sum += error * error
            along_f += reconstructed * e
        inverse_rms[row] = r
        l1 = hidden_sum[row]
        if is_normalised:
            l1 *= r
            along_f += slope * l1
            addend[row] = slope
        else:
            addend[row] = slope / r  # so that r can be taken out with the rest
        factor[row] = along_f * r / number(n_features)
        square_total += square_sum
        l1_total += l1
    return square_total, l1_total


@kernel(**_FAST)
def where_active(g, h, addend, factor, inverse_rms, b_enc_gradient):
    zero = h.dtype.type(0)
    for row in range(h.shape[0]):
        add, by, r = addend[row], factor[row], inverse_rms[row]
        for j in range(h.shape[1]):
            value = h[row, j]
            value = zero if value <= zero else g[row, j] + add - by * value
            g[row, j] = value
            b_enc_gradient[j] += value * r


@kernel
def _widened(half):
    return np.uint32(np.uint32(half) << np.uint32(16)).view(np.float32)


@kernel
def _rounded(value):
    """To the nearest, ties to even; NaN is left to chance, and shows in the sums."""
    bits = np.float32(value).view(np.uint32)
    is_odd = np.uint32(np.uint32(bits >> np.uint32(16)) & np.uint32(1))
    return np.uint16(np.uint32(np.uint32(bits + np.uint32(0x7FFF) + is_odd) >> np.uint32(16)))


@kernel(**_FAST)
def relu_with_sums_bf16(h, bias, sums, square_sums):
    zero = np.float32(0)
    n_active = 0
    for row in range(h.shape[0]):
        total, square_total = zero, zero
        n_active_here = np.int32(0)
        for j in range(h.shape[1]):
            value = _widened(h[row, j]) + bias[j]
            half = np.uint16(0) if value <= zero else _rounded(value)
            value = _widened(half)  # the sums are of what is multiplied
            h[row, j] = half
            total += value
            square_total += value * value
            n_active_here += np.int32(half != 0)
        sums[row], square_sums[row] = total, square_total
        n_active += n_active_here
    return n_active


@kernel(**_FAST)
def where_active_bf16(g, h, addend, factor, inverse_rms, b_enc_gradient):
    for row in range(h.shape[0]):
        add, by, r = addend[row], factor[row], inverse_rms[row]
        for j in range(h.shape[1]):
            half = h[row, j]
            value = np.float32(0) if half == 0 else _widened(g[row, j]) + add - by * _widened(half)
            g[row, j] = _rounded(value)
            b_enc_gradient[j] += value * r


@kernel
def list_active(bits, tile_features, starts, feature):
    """Features of the codes that are not 0, tile by tile; bits: (b, F) the codes as unsigned integers.

    They are listed from starts[0] on.
    """
    n_frames, n_features = bits.shape
    n_listed = starts[0]
    n_starts = 1
    for first in range(0, n_features, tile_features):
        last = min(first + tile_features, n_features)
        last_by_eight = last - (last - first) % LISTED_AT_ONCE
        for i in range(n_frames):
            for j in range(first, last_by_eight, LISTED_AT_ONCE):
                n_listed = list_nonzero(feature, n_listed, bits, i, j)
            for j in range(last_by_eight, last):
                feature[n_listed] = j
                n_listed += np.uint64(bits[i, j] != 0)
            starts[n_starts] = n_listed
            n_starts += 1


@kernel(**_FAST)
def list_activated(z, bias, tile_features, most, starts, feature, value, sums, square_sums):
    """Features and values of h = ReLU(z + bias) above 0, which is not formed, as `list_active` and `values` list them;
    and Σ h and Σ h² of each frame. z: (b, F). Returns whether they certainly are not more than `most`.
    """
    zero = z.dtype.type(0)
    n_frames, n_features = z.shape
    n_listed = starts[0]
    end = n_listed + np.uint64(most)
    n_starts = 1
    sums[:], square_sums[:] = zero, zero
    for first in range(0, n_features, tile_features):
        last = min(first + tile_features, n_features)
        last_by_eight = last - (last - first) % LISTED_AT_ONCE
        for i in range(n_frames):
            if n_listed + np.uint64(last - first) > end:
                return False
            begin = n_listed
            for j in range(first, last_by_eight, LISTED_AT_ONCE):
                n_listed = list_positive(feature, n_listed, z, bias, i, j)
            for j in range(last_by_eight, last):
                feature[n_listed] = j
                n_listed += np.uint64(not (z[i, j] + bias[j] <= zero))
            total, square_total = zero, zero
            for k in range(begin, n_listed):
                h = z[i, feature[k]] + bias[feature[k]]
                value[k] = h
                total += h
                square_total += h * h
            sums[i] += total
            square_sums[i] += square_total
            starts[n_starts] = n_listed
            n_starts += 1
    return True


@kernel
def values(h, starts, feature, value):
    n_frames = h.shape[0]
    for first in range(0, len(starts) - 1, n_frames):
        for i in range(n_frames):
            for k in range(starts[first + i], starts[first + i + 1]):
                value[k] = h[i, feature[k]]


@kernel
def values_bf16(h, starts, feature, value):
    n_frames = h.shape[0]
    for first in range(0, len(starts) - 1, n_frames):
        for i in range(n_frames):
            for k in range(starts[first + i], starts[first + i + 1]):
                value[k] = _widened(h[i, feature[k]])


@kernel(**_FAST)
def _add_rows(total, row, first, last, which, value, rows):
    """total[row] (D,) += Σ_k value[k] rows[which[k]] for k from `first` to `last`; D at least LANES.

    Of the sum as many columns as fit in registers stay there, so that memory is read once for each product.
    """
    n_columns = total.shape[1]
    # of a rest that does not fill its lanes, with columns before it, which come to the same sums once more
    rest = n_columns - LANES if n_columns % LANES else n_columns
    if rest < n_columns:
        of_rest = load(total, row, rest)
        for k in range(first, last):
            of_rest = add_product(of_rest, value[k], load(rows, which[k], rest))
    column = 0
    while column + 4 * LANES <= n_columns:
        second, third, fourth = column + LANES, column + 2 * LANES, column + 3 * LANES
        a, b = load(total, row, column), load(total, row, second)
        c, d = load(total, row, third), load(total, row, fourth)
        for k in range(first, last):
            other, by = which[k], value[k]
            a = add_product(a, by, load(rows, other, column))
            b = add_product(b, by, load(rows, other, second))
            c = add_product(c, by, load(rows, other, third))
            d = add_product(d, by, load(rows, other, fourth))
        store(total, row, column, a)
        store(total, row, second, b)
        store(total, row, third, c)
        store(total, row, fourth, d)
        column += 4 * LANES
    while column + LANES <= n_columns:
        a = load(total, row, column)
        for k in range(first, last):
            a = add_product(a, value[k], load(rows, which[k], column))
        store(total, row, column, a)
        column += LANES
    if rest < n_columns:
        store(total, row, rest, of_rest)


@kernel(**_FAST)
def times(starts, feature, h, rows, product):
    product[:] = 0
    n_frames = len(product)
    for first in range(0, len(starts) - 1, n_frames):
        for i in range(n_frames):
            _add_rows(product, i, starts[first + i], starts[first + i + 1], feature, h, rows)


@kernel(**_FAST)
def _add_four_products(sums, lanes, rows, which, column):
    """sums + lanes · rows[which, column : column + LANES], of four rows."""
    a, b, c, d = sums
    return (
        add_product(a, lanes, load(rows, which[0], column)),
        add_product(b, lanes, load(rows, which[1], column)),
        add_product(c, lanes, load(rows, which[2], column)),
        add_product(d, lanes, load(rows, which[3], column)),
    )


@kernel(**_FAST)
def _gradients_of_codes(starts, feature, h, g, W_dec_t, e, addend, factor, inverse_rms):
    """g (n,) ← ∂L/∂h of the codes above 0: r (W_decᵀ e + addend − factor · h); D at least LANES."""
    n_frames, n_columns = e.shape
    n_rest = n_columns % LANES
    rest = n_columns - LANES
    four = np.uint64(4)
    for i in range(n_frames):
        k, last = starts[i], starts[i + 1]
        while k < last:
            # beyond this frame's codes there are those whose turn comes later, or of a tile that is done with
            others = four_of(feature, k)
            sums = (zeros(e), zeros(e), zeros(e), zeros(e))
            for column in range(0, n_columns - n_rest, LANES):
                sums = _add_four_products(sums, load(e, i, column), W_dec_t, others, column)
            if n_rest:
                sums = _add_four_products(sums, last_of(load(e, i, rest), n_rest), W_dec_t, others, rest)
            store_sums(g, k, *sums)
            k += four
        add, by, r = addend[i], factor[i], inverse_rms[i]
        for k in range(starts[i], last):
            g[k] = r * (g[k] + add - by * h[k])


@kernel
def _count_by_feature(starts, feature, first_feature, counts):
    """Add the number of a tile's codes to that of each feature."""
    for k in range(starts[0], starts[-1]):
        counts[feature[k] - first_feature] += np.uint64(1)


@kernel
def _places_of(counts):
    """counts ← where the first of each feature goes."""
    n_before = np.uint64(0)
    for j in range(len(counts)):
        n_here = counts[j]
        counts[j] = n_before
        n_before += n_here


@kernel
def _list_by_feature(starts, feature, h, g, first_feature, first_frame, places, frame, h_by_feature, g_by_feature):
    """A tile's lists once more, feature by feature (a counting sort); places ← where the next of each feature goes."""
    for i in range(len(starts) - 1):
        for k in range(starts[i], starts[i + 1]):
            j = feature[k] - first_feature
            place = places[j]
            places[j] = place + np.uint64(1)
            frame[place], h_by_feature[place], g_by_feature[place] = first_frame + i, h[k], g[k]


@kernel(**_FAST)
def _add_rows_of_features(total, first_feature, ends, frame, value, rows):
    begin = np.uint64(0)
    for j in range(len(ends)):
        _add_rows(total, first_feature + j, begin, ends[j], frame, value, rows)
        begin = ends[j]


@kernel
def list_by_feature(tile_features, starts, feature, h, ends, frame, h_by_feature):
    """The lists once more, tile by tile, in a tile feature by feature."""
    n_frames = (len(starts) - 1) // -(-len(ends) // tile_features)
    ends[:] = 0
    for tile, first in enumerate(range(0, len(ends), tile_features)):
        here = starts[tile * n_frames : (tile + 1) * n_frames + 1]
        n_before = here[0]
        ends_here = ends[first : first + tile_features]
        _count_by_feature(here, feature, np.uint32(first), ends_here)
        _places_of(ends_here)
        by_feature = (
            frame[n_before:],
            h_by_feature[n_before:],
            h_by_feature[n_before:],
        )  # no g: h once more, in its place
        _list_by_feature(here, feature, h, h, np.uint32(first), 0, ends_here, *by_feature)


@kernel(**_FAST)
def add_products(tile_features, starts, ends, frame, h_by_feature, rows, total):
    n_frames = len(rows)
    for tile, first in enumerate(range(0, len(ends), tile_features)):
        n_before = starts[tile * n_frames]
        ends_here = ends[first : first + tile_features]
        _add_rows_of_features(total, first, ends_here, frame[n_before:], h_by_feature[n_before:], rows)


@kernel(**_FAST)
def add_gradients(
    tile_features, chunk_frames, starts, feature, h, g, ends, frame, h_by_feature, g_by_feature, W_dec_t, x, e,
    scaled_e, addend, factor, inverse_rms, W_enc_sum, b_enc_sum, W_dec_t_sum,
):  # fmt: skip
    """Of chunks of frames that follow each other, with `chunk_frames` frames and lists `starts` each."""
    for tile, first in enumerate(range(0, len(W_dec_t), tile_features)):
        ends_here = ends[: min(tile_features, len(W_dec_t) - first)]
        ends_here[:] = 0
        first_frame = 0
        for chunk in range(len(chunk_frames)):
            n_frames = chunk_frames[chunk]
            here = starts[chunk, tile * n_frames : (tile + 1) * n_frames + 1]
            those = slice(first_frame, first_frame + n_frames)
            _gradients_of_codes(
                here, feature, h, g, W_dec_t, e[those], addend[those], factor[those], inverse_rms[those]
            )
            _count_by_feature(here, feature, np.uint32(first), ends_here)
            first_frame += n_frames
        _places_of(ends_here)
        first_frame = 0
        for chunk in range(len(chunk_frames)):
            n_frames = chunk_frames[chunk]
            here = starts[chunk, tile * n_frames : (tile + 1) * n_frames + 1]
            by_feature = (ends_here, frame, h_by_feature, g_by_feature)
            _list_by_feature(here, feature, h, g, np.uint32(first), first_frame, *by_feature)
            first_frame += n_frames
        _add_rows_of_features(W_dec_t_sum, first, ends_here, frame, h_by_feature, scaled_e)
        _add_rows_of_features(W_enc_sum, first, ends_here, frame, g_by_feature, x)
        begin = np.uint64(0)
        for j in range(len(ends_here)):
            for k in range(begin, ends_here[j]):
                b_enc_sum[first + j] += g_by_feature[k]
            begin = ends_here[j]
