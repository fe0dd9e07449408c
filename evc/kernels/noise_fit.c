/* The levels of noise that cost least: as `_trellis` in models/noise/fit.py. */
#include "port.h"

#include "events.h"

/* One side of one stretch: costs of levels from those of the levels before. `bits` are those of changes from -reach on,
   `twice` the coefficient of the product of both levels. */
static void step(const double *before, double *after, int32_t *from, int64_t levels, int64_t least, double twice,
                 const double *bits, int64_t expected) {
    for (int64_t to = 0; to < levels; to++) {
        double best = INFINITY;
        int32_t which = 0;
        for (int64_t at = 0; at < levels; at++) {
            const double together = twice * (double)(least + at) * (double)(least + to);
            const double cost = before[at] + together + bits[to - at - expected];
            if (cost < best) {
                best = cost;
                which = (int32_t)at;
            }
        }
        after[to] = best;
        from[to] = which;
    }
}

/* What a level costs by itself. */
static void add_own(double *costs, int64_t levels, int64_t least, double square, double once) {
    for (int64_t at = 0; at < levels; at++) {
        const double level = (double)(least + at);
        costs[at] = costs[at] + square * (level * level) - 2 * once * level;
    }
}

int32_t evc_noise_levels(const double *quadratic, int64_t stretches, int64_t bands, int64_t least, int64_t levels,
                         const int64_t *rows, const int64_t *around, const double *bits, int64_t reach,
                         int64_t *found) {
    const int64_t size = stretches * bands, width = 2 * reach + 1;
    double *costs = malloc(2 * (size_t)levels * sizeof *costs), *after = costs + levels;
    int32_t *back = malloc(2 * (size_t)(stretches * levels) * sizeof *back);
    const int32_t enough = costs && back;
    for (int64_t band = 0; enough && band < bands; band++) {
        for (int64_t n = 0; n < stretches; n++) {
            const int64_t at = n * bands + band;
            const double *start = bits + rows[at] * width + reach, *end = bits + rows[size + at] * width + reach;
            int32_t *of_start = back + 2 * n * levels, *of_end = of_start + levels;
            if (n) {
                step(costs, after, of_start, levels, least, 0, start, around[at]);
            } else {
                memset(of_start, 0, (size_t)levels * sizeof *of_start);
                for (int64_t to = 0; to < levels; to++) after[to] = start[least + to - around[at]];
            }
            add_own(after, levels, least, quadratic[at], quadratic[3 * size + at]);
            step(after, costs, of_end, levels, least, 2 * quadratic[size + at], end, around[size + at]);
            add_own(costs, levels, least, quadratic[2 * size + at], quadratic[4 * size + at]);
        }
        int32_t state = 0;
        for (int32_t at = 1; at < levels; at++)
            if (costs[at] < costs[state]) state = at;
        for (int64_t n = stretches - 1; n >= 0; n--) {
            found[size + n * bands + band] = least + state;
            state = back[(2 * n + 1) * levels + state];
            found[n * bands + band] = least + state;
            state = back[2 * n * levels + state];
        }
    }
    free(costs);
    free(back);
    return enough;
}
