/* Samples between the given ones, channels apart and together, and samples of 16 bits (spec 10.6): as
   models/patterns/delay.py and evc/samples.py. */
#include "sound.h"
#include "variants.h"

enum { TOGETHER = 64 }; /* samples whose sums stay at hand */

/* Sample by sample the sum of the taps in their order. */
INLINE void interpolate(const float *in, int64_t channels, int64_t count, const float *taps, int64_t length,
                        float *out) {
    for (int64_t channel = 0; channel < channels; channel++, in += count + length - 1, out += count)
        for (int64_t first = 0; first < count; first += TOGETHER) {
            float sums[TOGETHER] = {0};
            if (count - first >= TOGETHER) {
                for (int64_t tap = 0; tap < length; tap++) {
                    const float *from = in + first + length - 1 - tap, weight = taps[tap];
                    for (int i = 0; i < TOGETHER; i++) sums[i] += weight * from[i];
                }
                memcpy(out + first, sums, sizeof sums);
            } else {
                for (int64_t tap = 0; tap < length; tap++)
                    for (int64_t i = 0; i < count - first; i++)
                        sums[i] += taps[tap] * in[first + length - 1 - tap + i];
                memcpy(out + first, sums, (size_t)(count - first) * sizeof *sums);
            }
        }
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
VARIANTS(transpose, (const float *in, int64_t rows, int64_t columns, float *out), (in, rows, columns, out))
VARIANTS(int16, (const float *in, int64_t count, int16_t *out), (in, count, out))
