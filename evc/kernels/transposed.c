/* Waveforms read at another rate, as models/patterns/transposed.py. */
#include <math.h>

#include "constants.h"
#include "sound.h"
#include "variants.h"

enum { TOGETHER = 64, TAPS = 2 * EVC_RATE_HALF_TAPS }; /* samples whose positions and sums stay at hand */

typedef struct {
    int64_t frame[TOGETHER];
    float fraction[TOGETHER];
} Positions;

typedef struct {
    const float *table, *phases;
    int64_t steps;
    double stretch;
} Filter;

INLINE double wrapped(double position, double start, double period, int32_t back) {
    if (period == 0 || position < start + period) return position;
    const double trip = back ? 2 * period : period, inside = fmod(position - start, trip);
    return start + (back && inside > period ? trip - inside : inside);
}

/* Between the phases before and behind; the products are added up in halves. */
INLINE float interpolated(const float *in, int64_t frames, int64_t frame, float fraction, const Filter *filter) {
    const float place = fraction * (float)filter->steps, part = place - (float)(int32_t)place;
    const float *low = filter->phases + (int64_t)(int32_t)place * TAPS, *high = low + TAPS;
    const int64_t first = frame + 1 - EVC_RATE_HALF_TAPS;
    float products[TAPS];
    if (first >= 0 && first + TAPS <= frames)
        LANEWISE
        for (int k = 0; k < TAPS; k++) products[k] = (low[k] + part * (high[k] - low[k])) * in[first + k];
    else
        for (int k = 0; k < TAPS; k++) {
            const float sample = first + k >= 0 && first + k < frames ? in[first + k] : 0.f;
            products[k] = (low[k] + part * (high[k] - low[k])) * sample;
        }
    for (int middle = TAPS / 2; middle; middle /= 2)
        for (int k = 0; k < middle; k++) products[k] += products[k + middle];
    return products[0];
}

INLINE float stretched(const float *in, int64_t frames, int64_t frame, float fraction, const Filter *filter) {
    const float scale = (float)((double)filter->steps / filter->stretch);
    const float ends = (float)(EVC_RATE_HALF_TAPS * filter->steps);
    const int64_t reach = (int64_t)ceil(EVC_RATE_HALF_TAPS * filter->stretch);
    float sum = 0, total = 0;
    for (int64_t tap = 1 - reach; tap <= reach; tap++) {
        const float distance = fabsf((float)tap - fraction) * scale;
        if (distance > ends) continue;
        const float *at = filter->table + (int32_t)distance;
        const float weight = at[0] + (distance - (float)(int32_t)distance) * (at[1] - at[0]);
        total += weight;
        sum += weight * (frame + tap >= 0 && frame + tap < frames ? in[frame + tap] : 0.f);
    }
    return sum / total;
}

INLINE void add_transposed(const float *in, int64_t own, int64_t frames, double first, double step,
                           double loop_start, double period, int32_t back, const float *table, const float *phases,
                           int64_t steps, const float *weights, float *out, int64_t channels, int64_t samples,
                           int64_t place, int64_t count) {
    const Filter filter = {table, phases, steps, step > 1 ? step : 1};
    Positions at;
    float heard[TOGETHER];
    for (int64_t from = 0; from < count; from += TOGETHER) {
        const int64_t many = count - from < TOGETHER ? count - from : TOGETHER;
        for (int64_t i = 0; i < many; i++) {
            const double position = wrapped(first + step * (double)(from + i), loop_start, period, back);
            at.frame[i] = (int64_t)position; /* which is never negative */
            at.fraction[i] = (float)(position - (double)at.frame[i]);
        }
        for (int64_t row = 0; row < own; row++) {
            const float *waveform = in + row * frames;
            if (filter.stretch > 1)
                for (int64_t i = 0; i < many; i++)
                    heard[i] = stretched(waveform, frames, at.frame[i], at.fraction[i], &filter);
            else
                for (int64_t i = 0; i < many; i++)
                    heard[i] = interpolated(waveform, frames, at.frame[i], at.fraction[i], &filter);
            for (int64_t channel = 0; channel < channels; channel++) {
                const float weight = weights[channel * own + row];
                float *to = out + channel * samples + place + from;
                for (int64_t i = 0; i < many; i++) to[i] += weight * heard[i];
            }
        }
    }
}

VARIANTS(add_transposed,
         (const float *in, int64_t own, int64_t frames, double first, double step, double loop_start, double period,
          int32_t back, const float *table, const float *phases, int64_t steps, const float *weights, float *out,
          int64_t channels, int64_t samples, int64_t place, int64_t count),
         (in, own, frames, first, step, loop_start, period, back, table, phases, steps, weights, out, channels, samples,
          place, count))
