/* Blocks of a signal to spectra and back (spec 10.4, 10.7): as models/spectrum/mdct.py. */
#include "dct.h"
#include "sound.h"

INLINE void dct4(const float *in, float *out, const int64_t *places, int64_t rows, int64_t size, const float *turns,
                 float *work) {
    for (int64_t row = 0; row < rows; row++)
        transformed(in + row * size, out + (places ? places[row] : row * size), size, turns, work);
}

/* The half of an overlap that lies to the right of its boundary: r = cos * right + sin * left, outwards. */
INLINE void fold_right(const float *boundary, float *row, const float *cosines, const float *sines, int64_t half) {
    INDEPENDENT
    for (int64_t j = 0; j < half; j++) row[j] = cosines[j] * boundary[j] + sines[j] * boundary[-1 - j];
}

/* The half to the left, `end` being behind its last. */
INLINE void fold_left(const float *boundary, float *end, const float *cosines, const float *sines, int64_t half) {
    INDEPENDENT
    for (int64_t j = 0; j < half; j++) end[-1 - j] = cosines[j] * boundary[-1 - j] - sines[j] * boundary[j];
}

INLINE void lapped(const float *signal, int64_t channels, int64_t samples, const int64_t *starts,
                   const int64_t *before, const int64_t *behind, int64_t blocks, int64_t size, const float *slopes,
                   int64_t longest, const float *turns, float *work, float *out) {
    float *row = work + 2 * size;
    for (int64_t channel = 0; channel < channels; channel++)
        for (int64_t block = 0; block < blocks; block++, out += size) {
            const float *first = signal + channel * samples + starts[block];
            const int64_t left = before[block] / 2, right = behind[block] / 2;
            if (left) fold_right(first, row, slopes + left - 1, slopes + left + longest - 2, left);
            memcpy(row + left, first + left, (size_t)(size - left - right) * sizeof *row);
            if (right) fold_left(first + size, row + size, slopes + right - 1, slopes + right + longest - 2, right);
            transformed(row, out, size, turns, work);
        }
}

INLINE void fold(float *signal, int64_t channels, int64_t samples, const int64_t *boundaries, const int64_t *overlaps,
                 int64_t count, const float *slopes, int64_t longest, int32_t inverse) {
    const float sign = inverse ? -1.0f : 1.0f;
    for (int64_t channel = 0; channel < channels; channel++)
        for (int64_t i = 0; i < count; i++) {
            const int64_t half = overlaps[i] / 2;
            if (!half) continue;
            float *boundary = signal + channel * samples + boundaries[i];
            const float *cosines = slopes + half - 1, *sines = cosines + longest - 1;
            INDEPENDENT
            for (int64_t j = 0; j < half; j++) {
                const float right = boundary[j], left = boundary[-1 - j], sine = sign * sines[j];
                boundary[j] = cosines[j] * right + sine * left;
                boundary[-1 - j] = cosines[j] * left - sine * right;
            }
        }
}

VARIANTS(dct4,
         (const float *in, float *out, const int64_t *places, int64_t rows, int64_t size, const float *turns,
          float *work),
         (in, out, places, rows, size, turns, work))
VARIANTS(lapped,
         (const float *signal, int64_t channels, int64_t samples, const int64_t *starts, const int64_t *before,
          const int64_t *behind, int64_t blocks, int64_t size, const float *slopes, int64_t longest,
          const float *turns, float *work, float *out),
         (signal, channels, samples, starts, before, behind, blocks, size, slopes, longest, turns, work, out))
VARIANTS(fold,
         (float *signal, int64_t channels, int64_t samples, const int64_t *boundaries, const int64_t *overlaps,
          int64_t count, const float *slopes, int64_t longest, int32_t inverse),
         (signal, channels, samples, boundaries, overlaps, count, slopes, longest, inverse))
