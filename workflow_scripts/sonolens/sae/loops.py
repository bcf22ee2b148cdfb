"""The compiled loops of training: what lies between the matrix products, and the products of codes that are mostly 0.

Called by `elementwise.py` and `sparse_products.py`, which say what each is for; formulas and shapes are those of
`gradients.py`. They stand in one file, since what is compiled is kept until the file changes. bf16 numbers are handled
as the upper halves of fp32 ones, since neither numpy nor numba knows them.
"""

import numpy as np

from sonolens.kernels import kernel

# Sums may be reordered, so that they are vectorised; NaN and infinity keep their meaning
_FAST = {"fastmath": {"reassoc", "contract", "nsz", "arcp"}, "error_model": "numpy"}
_LOOKED_AT_ONCE = 16  # codes that are looked over together, in case all of them are 0


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
    decoded, x, b_dec, b_dec_gradient, hidden_sum, hidden_square_sum, inverse_rms, residual, scaled_residual,
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
def list_active(bits, starts, feature):
    """Features of the codes that are not 0, frame by frame; bits: (b, F) the codes as unsigned integers."""
    n_frames, n_features = bits.shape
    n_listed = 0
    for i in range(n_frames):
        for first in range(0, n_features - _LOOKED_AT_ONCE + 1, _LOOKED_AT_ONCE):
            any_bits = bits[i, first]
            for j in range(_LOOKED_AT_ONCE):
                any_bits |= bits[i, first + j]
            if any_bits:
                for j in range(first, first + _LOOKED_AT_ONCE):
                    feature[n_listed] = j  # without a branch, which would be guessed wrongly at every active code
                    n_listed += bits[i, j] != 0
        for j in range(n_features - n_features % _LOOKED_AT_ONCE, n_features):
            feature[n_listed] = j
            n_listed += bits[i, j] != 0
        starts[i + 1] = n_listed


@kernel
def values(h, starts, feature, value):
    for i in range(h.shape[0]):
        for k in range(starts[i], starts[i + 1]):
            value[k] = h[i, feature[k]]


@kernel
def values_bf16(h, starts, feature, value):
    for i in range(h.shape[0]):
        for k in range(starts[i], starts[i + 1]):
            value[k] = _widened(h[i, feature[k]])


@kernel(**_FAST)
def _add_four_and_more(total, first, last, which, value, rows):
    """total (D,) += Σ_k value[k] rows[which[k]] for k from `first` to `last`."""
    k = first
    while k + 4 <= last:
        a, b, c, d = which[k], which[k + 1], which[k + 2], which[k + 3]
        by_a, by_b, by_c, by_d = value[k], value[k + 1], value[k + 2], value[k + 3]
        for i in range(total.shape[0]):
            total[i] += by_a * rows[a, i] + by_b * rows[b, i] + (by_c * rows[c, i] + by_d * rows[d, i])
        k += 4
    while k < last:
        a, by_a = which[k], value[k]
        for i in range(total.shape[0]):
            total[i] += by_a * rows[a, i]
        k += 1


@kernel(**_FAST)
def decode(starts, feature, h, W_dec_t, decoded):
    decoded[:] = 0
    for i in range(decoded.shape[0]):
        _add_four_and_more(decoded[i], starts[i], starts[i + 1], feature, h, W_dec_t)


@kernel(**_FAST)
def add_rows(total, ends, frame, value, rows):
    first = 0
    for j in range(total.shape[0]):
        _add_four_and_more(total[j], first, ends[j], frame, value, rows)
        first = ends[j]


@kernel(**_FAST)
def gradients_of_codes(starts, feature, h, g, W_dec_t, e, addend, factor):
    """g (n,) ← ∂L/∂h / r of the codes above 0: W_decᵀ e + addend − factor · h."""
    zero = e.dtype.type(0)
    for i in range(e.shape[0]):
        k, last = starts[i], starts[i + 1]
        add, by = addend[i], factor[i]
        while k + 4 <= last:
            a, b, c, d = feature[k], feature[k + 1], feature[k + 2], feature[k + 3]
            sum_a, sum_b, sum_c, sum_d = zero, zero, zero, zero
            for n in range(e.shape[1]):
                sum_a += e[i, n] * W_dec_t[a, n]
                sum_b += e[i, n] * W_dec_t[b, n]
                sum_c += e[i, n] * W_dec_t[c, n]
                sum_d += e[i, n] * W_dec_t[d, n]
            g[k], g[k + 1] = sum_a + add - by * h[k], sum_b + add - by * h[k + 1]
            g[k + 2], g[k + 3] = sum_c + add - by * h[k + 2], sum_d + add - by * h[k + 3]
            k += 4
        while k < last:
            a, sum_a = feature[k], zero
            for n in range(e.shape[1]):
                sum_a += e[i, n] * W_dec_t[a, n]
            g[k] = sum_a + add - by * h[k]
            k += 1


@kernel
def list_by_feature(starts, feature, h, g, ends, frame, h_by_feature, g_by_feature, inverse_rms, b_enc_gradient):
    """The lists by frame once more, feature by feature (a counting sort); adds r g to ∂L/∂b_enc in passing."""
    n_frames, n_features = starts.shape[0] - 1, ends.shape[0]
    ends[:] = 0
    for k in range(starts[n_frames]):
        ends[feature[k]] += 1
    n_before = 0
    for j in range(n_features):
        n_here = ends[j]
        ends[j] = n_before  # where the next of this feature goes; at last, where they end
        n_before += n_here
    for i in range(n_frames):
        for k in range(starts[i], starts[i + 1]):
            j = feature[k]
            place = ends[j]
            ends[j] = place + 1
            frame[place], h_by_feature[place], g_by_feature[place] = i, h[k], g[k]
            b_enc_gradient[j] += g[k] * inverse_rms[i]
