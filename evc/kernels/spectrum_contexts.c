/* Contexts of the spectrum stream (spec 9.7 to 9.10): as evc/format/streams/spectrum_contexts.py. */
#include "spectrum.h"

void evc_relative_steps(const evc_geometry *geometry, int depth, int32_t channels, const int32_t levels[2][EVC_BANDS],
                        int32_t steps[2][EVC_BANDS]) {
    const int bands = geometry->bands[depth], layout = layout_of(depth);
    int32_t loudest[EVC_BANDS];
    for (int b = 0; b < bands; b++)
        loudest[b] = channels == 2 && levels[1][b] > levels[0][b] ? levels[1][b] : levels[0][b];
    for (int b = 0; b < bands; b++) {
        const int32_t *loss = geometry->spreading[layout][b];
        int32_t spread = loudest[0] - loss[0];
        for (int a = 1; a < bands; a++) spread = loudest[a] - loss[a] > spread ? loudest[a] - loss[a] : spread;
        for (int channel = 0; channel < channels; channel++) {
            int32_t weighted = EVC_STEP_OWN_WEIGHT * (levels[channel][b] - EVC_STEP_REFERENCE) +
                               EVC_STEP_SPREAD_WEIGHT * (spread - EVC_STEP_REFERENCE);
            steps[channel][b] = EVC_STEP_REFERENCE + shifted(weighted, 6) + geometry->offset[layout][b];
        }
    }
}

/* Band values on the bands of another depth: repeated in every fine band, then averaged, rounding down. */
static void change_layout(const evc_geometry *geometry, int from, int to, int32_t *values) {
    int32_t every[EVC_BANDS];
    const int32_t *old = geometry->fine[from], *new = geometry->fine[to];
    if (geometry->bands[from] == geometry->bands[to]) return;
    for (int b = 0; b < geometry->bands[from]; b++)
        for (int32_t fine = old[b]; fine < old[b + 1]; fine++) every[fine] = values[b];
    for (int b = 0; b < geometry->bands[to]; b++) {
        int32_t sum = 0, count = new[b + 1] - new[b];
        for (int32_t fine = new[b]; fine < new[b + 1]; fine++) sum += every[fine];
        values[b] = sum / count - (sum % count < 0);
    }
}

/* Bins of a block as bins of another size: the loudest of each group, or repeated. */
static void resize(int16_t *amplitudes, int from, int to, int bins) {
    int16_t *values = amplitudes + EDGE;
    if (to > from) {
        const int group = 1 << (to - from);
        for (int k = 0; k < bins; k++) {
            int16_t most = values[k * group];
            for (int i = 1; i < group; i++) most = values[k * group + i] > most ? values[k * group + i] : most;
            values[k] = most;
        }
    } else {
        for (int k = bins - 1; k >= 0; k--) values[k] = values[k >> (from - to)];
    }
}

void evc_align(evc_walk *walk, int depth) {
    const evc_geometry *geometry = walk->geometry;
    const int from = walk->depth, bins = geometry->edges[depth][geometry->bands[depth]];
    if (depth == from) return;
    for (int channel = 0; channel < walk->channels; channel++) {
        Memory *memory = &walk->memory[channel];
        change_layout(geometry, from, depth, memory->energies1 + EDGE);
        change_layout(geometry, from, depth, memory->energies2 + EDGE);
        change_layout(geometry, from, depth, memory->steps);
        resize(memory->amplitudes1, from, depth, bins);
        resize(memory->amplitudes2, from, depth, bins);
    }
    walk->depth = depth;
}

int evc_energy_features(const evc_walk *walk, int channel, int pass, int first, int step, int bands, int inputs,
                        int16_t *features) {
    const Memory *memory = &walk->memory[channel], *other = &walk->memory[0];
    int count = 0;
    for (int band = first; band < bands; band += step, count++) {
        const int p = band + EDGE;
        const int32_t *e1 = memory->energies1 + p, *e2 = memory->energies2 + p, *now = memory->current + p, r = e1[0];
        int16_t *f = features + (int64_t)count * inputs;
        *f++ = feature(r >> 1);
        *f++ = feature(3 * band);
        *f++ = r == 0 ? 32 : 0;
        *f++ = feature(e1[-2] - r);
        *f++ = feature(e1[-1] - r);
        *f++ = feature(e1[1] - r);
        *f++ = feature(e1[2] - r);
        for (int o = -1; o <= 1; o++) *f++ = feature(e2[o] - r);
        if (pass == 1) {
            *f++ = feature(now[-2] - r);
            *f++ = feature(now[2] - r);
        } else if (pass == 2) {
            *f++ = feature(now[-1] - r);
            *f++ = feature(now[1] - r);
            *f++ = feature(now[-3] - r);
            *f++ = feature(now[3] - r);
        }
        if (channel) {
            for (int o = -1; o <= 1; o++) *f++ = feature(other->current[p + o] - r);
            for (int o = -1; o <= 1; o++) *f++ = feature(other->energies1[p + o] - r);
        }
        if ((f - features) % inputs) *f = 0; /* inputs come in pairs */
    }
    return count;
}

void evc_coefficient_features(const evc_walk *walk, const Block *block, int channel, int pass, int inputs,
                              const int32_t *steps, int64_t n) {
    const Memory *memory = &walk->memory[channel];
    const int16_t *a1 = memory->amplitudes1 + EDGE, *a2 = memory->amplitudes2 + EDGE, *now = memory->now + EDGE;
    const int16_t *other = walk->memory[0].now + EDGE, *wide = walk->wide;
    const int32_t *levels = block->levels[channel];
    int16_t own[4] = {0};
    int band = -1;
    int32_t step = 0;
    for (int64_t i = 0; i < n; i++) {
        const int k = walk->bins[i];
        int16_t *f = walk->features + i * inputs;
        if (walk->band_of[i] != band) {
            band = walk->band_of[i];
            step = steps[band];
            own[0] = feature(shifted(levels[band] - step, 3));
            own[1] = feature(shifted(levels[band > 0 ? band - 1 : 0] - step, 3));
            own[2] = feature(shifted(levels[band + 1 < block->bands ? band + 1 : band] - step, 3));
            own[3] = feature(block->edges[band + 1] - block->edges[band]);
        }
        memcpy(f, own, sizeof own);
        f += 4;
        for (int o = -2; o <= 2; o++) *f++ = feature(shifted(a1[k + o] - step, 3));
        for (int o = -1; o <= 1; o++) *f++ = feature(shifted(a2[k + o] - step, 3));
        *f++ = feature(shifted(wide[k] - step, 3));
        if (pass)
            for (int o = -5; o <= 5; o += 2) *f++ = feature(shifted(now[k + o] - step, 3));
        if (channel)
            for (int o = -2; o <= 2; o++) *f++ = feature(shifted(other[k + o] - step, 3));
        if ((f - walk->features) % inputs) *f = 0; /* inputs come in pairs */
    }
}
