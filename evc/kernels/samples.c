/* Samples between the given ones, channels apart and together, and samples of 16 bits (spec 10.6): as
   models/patterns/delay.py and evc/samples.py. */
#include "sound.h"
#include "variants.h"

enum { TOGETHER = 64 }; /* samples whose sums stay at hand */

/* Of at most TOGETHER samples the sum of the taps in their order. */
INLINE void delayed_piece(const float *in, int64_t count, const float *taps, int64_t length, float *out) {
    float sums[TOGETHER] = {0};
    for (int64_t tap = 0; tap < length; tap++) {
        const float *from = in + length - 1 - tap, weight = taps[tap];
        if (count == TOGETHER)
            for (int i = 0; i < TOGETHER; i++) sums[i] += weight * from[i];
        else
            for (int64_t i = 0; i < count; i++) sums[i] += weight * from[i];
    }
    memcpy(out, sums, (size_t)count * sizeof *sums);
}

INLINE void interpolate(const float *in, int64_t channels, int64_t count, const float *taps, int64_t length,
                        float *out) {
    for (int64_t channel = 0; channel < channels; channel++, in += count + length - 1, out += count)
        for (int64_t first = 0; first < count; first += TOGETHER)
            delayed_piece(in + first, count - first < TOGETHER ? count - first : TOGETHER, taps, length, out + first);
}

/* Of stereo, which is what most samples are, in vectors. */
INLINE void transpose(const float *in, int64_t rows, int64_t columns, float *out) {
    if (rows == 2) {
        INDEPENDENT
        for (int64_t i = 0; i < columns; i++) {
            out[2 * i] = in[i];
            out[2 * i + 1] = in[columns + i];
        }
    } else if (columns == 2) {
        INDEPENDENT
        for (int64_t i = 0; i < rows; i++) {
            out[i] = in[2 * i];
            out[rows + i] = in[2 * i + 1];
        }
    } else {
        for (int64_t row = 0; row < rows; row++)
            for (int64_t column = 0; column < columns; column++) out[column * rows + row] = in[row * columns + column];
    }
}

INLINE void int16(const float *in, int64_t count, int16_t *out) {
    const float whole = 12582912.0f; /* 1.5 * 2**23: what is added to it is rounded to a whole number */
    INDEPENDENT
    for (int64_t i = 0; i < count; i++) {
        float value = in[i] * 32768.0f;
        value = value > -32768.0f ? value : -32768.0f;
        value = value < 32767.0f ? value : 32767.0f;
        out[i] = (int16_t)(int32_t)((value + whole) - whole);
    }
}

VARIANTS(interpolate,
         (const float *in, int64_t channels, int64_t count, const float *taps, int64_t length, float *out),
         (in, channels, count, taps, length, out))
INLINE void add_delayed(const float *in, int64_t own, int64_t count, const float *taps, int64_t length,
                        const float *weights, float *out, int64_t channels, int64_t samples, int64_t place) {
    for (int64_t from = 0; from < own; from++, in += count + length - 1)
        for (int64_t first = 0; first < count; first += TOGETHER) {
            const int64_t many = count - first < TOGETHER ? count - first : TOGETHER;
            float sums[TOGETHER];
            if (length == 1)
                memcpy(sums, in + first, (size_t)many * sizeof *sums);
            else
                delayed_piece(in + first, many, taps, length, sums);
            for (int64_t channel = 0; channel < channels; channel++) {
                const float weight = weights[channel * own + from];
                float *to = out + channel * samples + place + first;
                if (weight != 0)
                    for (int64_t i = 0; i < many; i++) to[i] += weight * sums[i];
            }
        }
}

VARIANTS(add_delayed,
         (const float *in, int64_t own, int64_t count, const float *taps, int64_t length, const float *weights,
          float *out, int64_t channels, int64_t samples, int64_t place),
         (in, own, count, taps, length, weights, out, channels, samples, place))
VARIANTS(transpose, (const float *in, int64_t rows, int64_t columns, float *out), (in, rows, columns, out))
VARIANTS(int16, (const float *in, int64_t count, int16_t *out), (in, count, out))
