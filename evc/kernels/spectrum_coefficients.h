/* Which bands of a block hold coefficients, and their magnitudes (spec 9.9, 9.10): as
   evc/format/streams/spectrum_walk.py. */
#pragma once
#include "spectrum_search.h"

/* The bands of a channel that hold any coefficient. */
INLINE void code_bands(evc_mode mode, evc_walk *w, evc_port *p, const Block *block, int channel, const float *ratio,
                       const evc_search *how, uint8_t *flags) {
    const int16_t *before = w->memory[channel].amplitudes1 + EDGE, *beside = w->memory[0].now + EDGE;
    const int32_t *energies = block->energies + channel * block->band_stride;
    const int32_t *coefficients = block->coefficients + channel * block->bin_stride;
    p->kind = EVC_FLAGS;
    for (int b = 0; b < block->bands; b++) {
        const int low = block->edges[b], high = block->edges[b + 1], width = floor_log2((uint64_t)(high - low));
        const int32_t step = block->log_steps[channel][b];
        flags[b] = 0;
        if (!energies[b]) continue;
        int third = 0;
        int16_t loudest = before[low];
        for (int k = low + 1; k < high; k++) loudest = before[k] > loudest ? before[k] : loudest;
        if (channel) {
            int16_t most = beside[low];
            for (int k = low + 1; k < high; k++) most = beside[k] > most ? beside[k] : most;
            third = 1 + (most >= step);
        }
        int64_t level = clip(shifted(block->levels[channel][b] - step + 160, 4), 0, 15);
        int64_t past = clip(shifted(loudest - step + 2 * EVC_OCTAVE, 6), 0, 3);
        int64_t row = ((level * 4 + past) * 10 + (width < 9 ? width : 9)) * 3 + third;
        int flag = 0;
        if (mode == WRITE)
            for (int k = low; k < high && !flag; k++) flag = coefficients[k] != 0;
        if (mode == SEARCH) flag = worth_band(how, ratio, low, high, w->model->band.bits + 2 * row);
        flags[b] = (uint8_t)code_symbol(mode, p, &w->model->band, row, flag);
    }
}

INLINE void remember_coded(evc_walk *w, evc_port *p, int32_t *at, int32_t symbol, int shift) {
    if (w->coded_count == w->coded_room) {
        int64_t room = w->coded_room ? 2 * w->coded_room : 4096;
        Coded *more = realloc(w->coded, (size_t)room * sizeof *more);
        if (!more) {
            p->error = EVC_MEMORY;
            return;
        }
        w->coded = more;
        w->coded_room = room;
    }
    w->coded[w->coded_count++] = (Coded){at, (uint8_t)symbol, (uint8_t)shift};
}

/* One pass of magnitudes: even or odd bins. Log amplitudes of what is not 0 are taken in. */
INLINE void code_magnitude_pass(evc_mode mode, evc_walk *w, evc_port *p, const Block *block, int channel, int pass,
                                const uint8_t *flags, const int32_t *shifts, const int32_t *coarse_steps,
                                const float *ratio, const evc_search *how) {
    static const int16_t log_magnitude[] = {0,   0,   64,  101, 128, 149, 165, 180, 192,
                                            203, 213, 221, 229, 237, 244, 250, 256};
    const evc_table *table = &w->model->coefficient_tables[channel][pass];
    int32_t *coefficients = block->coefficients + channel * block->bin_stride;
    const float *spectra = mode == SEARCH ? block->spectra + channel * block->bin_stride : NULL;
    int16_t *now = w->memory[channel].now + EDGE;
    evc_layer layers[3];
    int64_t count = 0;
    for (int b = 0; b < block->bands; b++) {
        if (!flags[b]) continue;
        for (int k = block->edges[b] + ((block->edges[b] ^ pass) & 1); k < block->edges[b + 1]; k += 2) {
            w->bins[count] = k;
            w->band_of[count++] = (uint8_t)b;
        }
    }
    if (!count) return;
    of_block(w, w->model->coefficient[channel][pass], block->depth, layers);
    evc_coefficient_features(w, block, channel, pass, layers[0].inputs, coarse_steps, count);
    evc_network(layers, 3, w->features, count, w->outputs);
    for (int64_t i = 0; i < count; i++) {
        const int32_t *out = w->outputs + i * layers[2].outputs;
        const int64_t row = clip(out[0], 0, EVC_MAGNITUDE_SCALES - 1) +
                            EVC_MAGNITUDE_SCALES * clip(out[1], 0, EVC_MAGNITUDE_SHAPES - 1);
        const int b = w->band_of[i], k = w->bins[i], escape = EVC_MAGNITUDE_SYMBOLS - 1;
        int32_t symbol = 0;
        if (mode == SEARCH) {
            const float *costs = table->bits + row * EVC_MAGNITUDE_SYMBOLS;
            const int32_t best = best_magnitude(how, ratio[k], shifts[b], costs, &p->bits);
            coefficients[k] = spectra[k] < 0 ? -best : best;
            symbol = best >> shifts[b] < escape ? best >> shifts[b] : escape;
        } else {
            int64_t high = llabs((int64_t)coefficients[k]) >> shifts[b];
            symbol = code_symbol(mode, p, table, row, (int32_t)(high < escape ? high : escape));
            remember_coded(w, p, coefficients + k, symbol, shifts[b]);
            if (p->error) return;
        }
        if (symbol) now[k] = (int16_t)(log_magnitude[symbol] + coarse_steps[b]);
    }
}

/* Of each band, the low bits of its coefficients and the steps of what is left without them; its bins begin as quiet as
   that. */
INLINE void find_shifts(const Block *block, int channel, int16_t *now, int32_t *shifts, int32_t *coarse_steps) {
    for (int b = 0; b < block->bands; b++) {
        const int32_t level = block->levels[channel][b], step = block->log_steps[channel][b];
        shifts[b] = (int32_t)clip(shifted(level - step, 6) - (EVC_LARGE_OCTAVES - 1), 0, EVC_MAX_LOW_BITS);
        coarse_steps[b] = step + EVC_OCTAVE * shifts[b];
        const int32_t quiet = coarse_steps[b] - EVC_OCTAVE;
        for (int k = block->edges[b]; k < block->edges[b + 1]; k++) now[k] = (int16_t)(level < quiet ? level : quiet);
    }
}

/* Means of log amplitudes around each bin, rounding down. */
INLINE void find_surroundings(const int16_t *amplitudes, int bins, int16_t *means) {
    int32_t sum = 0;
    for (int k = -WIDE; k < WIDE; k++) sum += amplitudes[k];
    for (int k = 0; k < bins; k++) {
        sum += amplitudes[k + WIDE];
        means[k] = (int16_t)(sum / (2 * WIDE + 1) - (sum % (2 * WIDE + 1) < 0));
        sum -= amplitudes[k - WIDE];
    }
}

INLINE void code_coefficients(evc_mode mode, evc_walk *w, evc_port *p, const Block *block, int channel,
                              const evc_search *how) {
    Memory *memory = &w->memory[channel];
    int32_t shifts[EVC_BANDS], coarse_steps[EVC_BANDS];
    uint8_t flags[EVC_BANDS];
    if (mode == SEARCH) find_ratios(w, block, channel);
    code_bands(mode, w, p, block, channel, w->ratio, how, flags);
    if (p->error) return;
    find_shifts(block, channel, memory->now + EDGE, shifts, coarse_steps);
    pad_bins(memory->amplitudes1, block->bins);
    pad_bins(memory->amplitudes2, block->bins);
    pad_bins(memory->now, block->bins);
    find_surroundings(memory->amplitudes1 + EDGE, block->bins, w->wide);
    p->kind = EVC_COEFFICIENTS;
    for (int pass = 0; pass < 2 && !p->error; pass++)
        code_magnitude_pass(mode, w, p, block, channel, pass, flags, shifts, coarse_steps, w->ratio, how);
}
