/* The filters of the network that hears onsets: as models/events/hearing.py. */
#include "events.h"
#include "variants.h"

INLINE void filter_cells(const float *padded, const float *taps, float *out, int32_t hops, int32_t cells,
                         int32_t channels, int32_t dilation) {
    const int64_t row = (int64_t)(cells + 2) * channels;
    for (int32_t hop = 0; hop < hops; hop++)
        for (int32_t cell = 0; cell < cells; cell++) {
            float *sums = out + ((int64_t)hop * cells + cell) * channels;
            for (int32_t i = 0; i < 5; i++)
                for (int32_t j = 0; j < 3; j++) {
                    const float *values = padded + (hop + (int64_t)i * dilation) * row + (int64_t)(cell + j) * channels;
                    const float *tap = taps + (3 * i + j) * channels;
                    for (int32_t c = 0; c < channels; c++) sums[c] += values[c] * tap[c];
                }
        }
}

VARIANTS(filter_cells,
         (const float *padded, const float *taps, float *out, int32_t hops, int32_t cells, int32_t channels,
          int32_t dilation),
         (padded, taps, out, hops, cells, channels, dilation))
