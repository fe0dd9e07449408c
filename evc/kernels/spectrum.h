/* The walk through the blocks of a channel group (spec 9): what it remembers, and the contexts of symbols. */
#pragma once
#include "adaptive.h"

enum {
    EDGE = 8,    /* margin of padded arrays, in bins or bands */
    WIDE = 6,    /* bins on each side that count as the surroundings of a bin */
    FEATURES = 32, /* of a symbol, at most */
    QUIET = -20 * EVC_OCTAVE, /* log amplitude before anything is decoded */
    PADDED = EVC_BANDS + 2 * EDGE,
};

_Static_assert(EVC_DEPTHS == EVC_BLOCK_DEPTHS && EVC_BLOCKS == 1 << (EVC_BLOCK_DEPTHS - 1), "blocks of a superframe");

/* What contexts of one channel remember of the two blocks before, with EDGE more on either side. */
typedef struct {
    int32_t energies1[PADDED], energies2[PADDED]; /* times four */
    int32_t current[PADDED];                      /* energies of this block so far, times four */
    int32_t steps[EVC_BANDS];                     /* relative */
    int16_t *amplitudes1, *amplitudes2, *now;     /* log amplitudes at the bins, and those of this block so far */
} Memory;

/* Energies of what patterns leave over (spec 9.7). */
typedef struct {
    Context on[24], rising[1];
    Changes energies, rises;
    int32_t past[2][EVC_BANDS]; /* 1 where the block before had an energy, by fine band */
    int64_t latest[2][EVC_BANDS];
} Left;

/* A coefficient that was coded: escapes, low bits and the sign follow at the stream's end. */
typedef struct {
    int32_t *at;
    uint8_t symbol, shift;
} Coded;

struct evc_walk {
    const evc_spectrum_model *model;
    const evc_geometry *geometry;
    int32_t channels, gain, graded, covers;
    int64_t *covered;
    int64_t frame;                         /* at which the next block begins */
    int32_t offset, alone, deepest;        /* of the superframe, of the last covered block, of the superframe before */
    int32_t depth, before, first;          /* that memory is laid out for, of the block before; no block yet */
    int32_t held, last_depth;              /* of the block before */
    int32_t last_modes[EVC_BANDS], last_energies[2][EVC_BANDS];
    int32_t modes[EVC_BANDS];              /* decoded last */
    Memory memory[2];
    Left left;
    Coded *coded;
    int64_t coded_count, coded_room;
    /* Scratch: amplitudes, features [bins, FEATURES], outputs of networks [bins, 8], the bins and bands of a pass. */
    int16_t *amplitudes, *features, *wide;
    int32_t *outputs, *bins;
    uint8_t *band_of;
    float *ratio; /* in a search, of magnitudes to steps [bins] */
};

/* One block while it is coded. */
typedef struct {
    int depth, bands, bins;
    const int32_t *edges;                  /* in bins */
    uint8_t *held, *alone, *rising;
    int32_t *modes, *energies, *rises, *steps, *coefficients; /* of the first channel; the second follows ... */
    int64_t band_stride, bin_stride;       /* ... so much further on */
    const float *spectra;
    const int32_t *heard;
    int32_t levels[2][EVC_BANDS], log_steps[2][EVC_BANDS];
} Block;

INLINE int16_t feature(int32_t value) { return (int16_t)clip(value, -EVC_FEATURE_LIMIT, EVC_FEATURE_LIMIT); }

INLINE int32_t energy_log(int32_t energy) { return EVC_ENERGY_FLOOR + (energy - 1) * EVC_ENERGY_STEP; }

INLINE int layout_of(int depth) { return depth < EVC_FINE_DEPTHS ? 0 : 1; }

/* floor(value / 2**bits) of what may be negative: every compiler we know shifts arithmetically. */
INLINE int32_t shifted(int32_t value, int bits) { return value >> bits; }

/* Log steps at a gain of 0 (spec 9.9), from log energies [channels][bands]. */
void evc_relative_steps(const evc_geometry *geometry, int depth, int32_t channels, const int32_t levels[2][EVC_BANDS],
                        int32_t steps[2][EVC_BANDS]);

/* Carries what is remembered over to blocks of `depth`. */
void evc_align(evc_walk *walk, int depth);

/* Features int16 [n, inputs of the network] of the energies of a pass: bands first, first + step, ... Returns n. */
int evc_energy_features(const evc_walk *walk, int channel, int pass, int first, int step, int bands, int inputs,
                        int16_t *features);

/* The same for the coefficients `bins` [n], which lie in the bands `band_of` [n]; steps: of the coarse parts. */
void evc_coefficient_features(const evc_walk *walk, const Block *block, int channel, int pass, int inputs,
                              const int32_t *steps, int64_t n);

/* The network's layers, its first with the biases of this block. */
INLINE void of_block(const evc_walk *w, const evc_layer network[3], int depth, evc_layer layers[3]) {
    memcpy(layers, network, 3 * sizeof *layers);
    layers[0].biases += (depth * EVC_BLOCK_DEPTHS + w->before) * layers[0].outputs;
}

/* Repeats the edge values on both sides. */
INLINE void pad_bands(int32_t *values, int bands) {
    for (int i = 0; i < EDGE; i++) {
        values[i] = values[EDGE];
        values[EDGE + bands + i] = values[EDGE + bands - 1];
    }
}

INLINE void pad_bins(int16_t *values, int bins) {
    for (int i = 0; i < EDGE; i++) {
        values[i] = values[EDGE];
        values[EDGE + bins + i] = values[EDGE + bins - 1];
    }
}
