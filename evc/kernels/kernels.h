#pragma once
#include <stdint.h>

/* What Python calls: declarations without preprocessor directives, which cffi reads. Arrays are contiguous. */

/* Checksum of the sources (sources.py). */
uint32_t evc_built_from(void);

/* Makes tables, and finds out what the processor can do; once, before anything else. */
void evc_start(void);

/* Whether functions use wider vectors (variants.h) from now on: as `wanted`, where the processor has them. They do from
   the start; results are the same. Returns what they do. */
int32_t evc_widen(int32_t wanted);

/* --- Symbols (port.h) ------------------------------------------------------------------------------------- */

/* What a call found wrong. */
enum { EVC_OK, EVC_ROW, EVC_WORDS, EVC_SYMBOLS, EVC_LONG, EVC_LARGE, EVC_ENERGY, EVC_COEFFICIENT, EVC_MEMORY,
       EVC_LEVEL };

/* Frozen distributions: `starts` [rows, symbols + 1] are the sums of the frequencies below each symbol, `bits`
   [rows, symbols] what symbols cost. */
typedef struct {
    int32_t symbols, rows;
    const uint32_t *starts;
    const float *bits;
} evc_table;

/* A symbol with the interval [start, start + size) that it has of 2**24; a size of 0 is no interval at all. */
typedef struct {
    int32_t symbol;
    uint32_t start, size;
} evc_interval;

/* What the symbols of a spectrum stream are for, in the report of bits. */
enum { EVC_PARTITION, EVC_OFFSETS, EVC_ALONE, EVC_HOLD, EVC_STEREO, EVC_ENERGIES, EVC_FLAGS, EVC_COEFFICIENTS,
       EVC_ESCAPES, EVC_LOW_BITS, EVC_SIGNS, EVC_KINDS };

/* Where symbols come from, go to, or are counted. All zero, but for what evc_reading sets. */
typedef struct {
    int32_t error;
    int32_t accounting, kind; /* of what is read: how many symbols there are of each kind, and their ideal bits */
    int64_t counts[EVC_KINDS];
    double charges[EVC_KINDS];
    uint32_t checksum;
    uint64_t lower, range, point; /* spec 5.1 */
    const uint32_t *words;
    int64_t words_count, next, left; /* left: symbols declared and not yet decoded */
    evc_interval *written;
    int64_t count, room;
    double bits;
} evc_port;

void evc_reading(evc_port *port, const uint32_t *words, int64_t count, int64_t symbols);
void evc_forget(evc_port *port); /* frees what was written */
void evc_read_rows(evc_port *port, const evc_table *table, const int64_t *rows, int64_t count, int32_t *symbols);
void evc_read_row(evc_port *port, const evc_table *table, int64_t row, int64_t count, int32_t *symbols);
int32_t evc_read_weighted(evc_port *port, const int64_t *weights, int32_t symbols);
void evc_read_uniform(evc_port *port, int64_t size, int64_t count, int32_t *values);
void evc_read_uniforms(evc_port *port, const int64_t *sizes, int64_t count, int32_t *values);

/* What was written, from interval `from` on, for a coder of symbols under weights that grow by one each: symbols
   [room], each with three weights [room, 3]: those before its interval, of it, and those behind, or where there are
   none two parts of the other side. Intervals of no size are left out. Returns how many, and puts into `from` where it
   goes on; -1 for a single one with one weight beside it, and thus two weights. The checksum takes in all symbols
   passed. */
int64_t evc_written(evc_port *port, int64_t *from, int64_t room, int32_t *symbols, double *weights);

/* --- Integer networks (network.c) ------------------------------------------------------------------------- */

/* One layer (spec 9.8): `outputs` is a multiple of 8, `weights` [pairs of inputs, outputs, 2] and `biases` [outputs]
   are 0 where there is none. */
typedef struct {
    int32_t inputs, outputs, shift;
    const int16_t *weights;
    const int32_t *biases;
} evc_layer;

/* Layers, one behind the other, of features [rows, inputs of the first, a multiple of 2] to [rows, outputs of the
   last]. At most EVC_WIDEST numbers lie between two layers. */
enum { EVC_WIDEST = 512 };
void evc_network(const evc_layer *layers, int32_t count, const int16_t *features, int64_t rows, int32_t *outputs);

/* --- Adaptive integers (adaptive.h) ----------------------------------------------------------------------- */

/* Tables of adaptive integers (spec 6.2): `rows` tells the row of magnitudes for each average. */
typedef struct {
    evc_table magnitudes, flags;
    const int32_t *rows;
} evc_adaptive;

/* Calls of a port that reads or writes (evc/format/streams/integers.py, changes.py) of at most EVC_MOST_CALL values.
   contexts [.., 2]: averages, and how many updates they have behind them; at [count]: the context of each value. If the
   port accounts, the first of its kinds tells of this call. */
enum { EVC_MOST_CALL = 256 };
void evc_code_unsigned(evc_port *port, int32_t writing, const evc_adaptive *frozen, int32_t *contexts,
                       const int32_t *at, int64_t count, int64_t *values);
void evc_code_flags(evc_port *port, int32_t writing, const evc_adaptive *frozen, int32_t *contexts, const int32_t *at,
                    int64_t count, int32_t *flags);
void evc_code_changes(evc_port *port, int32_t writing, const evc_adaptive *frozen, int32_t *sizes, int32_t *signs,
                      int64_t least, int64_t most, const int64_t *before, int64_t count, int64_t *levels);

/* --- The envelope stream (envelope.c) --------------------------------------------------------------------- */

/* The values [hops, bands] of a group (spec 8.4), by the rows of `table` that begin with those of each band [bands]. If
   the port accounts, the first of its kinds tells of this call. */
void evc_read_envelope(evc_port *port, const evc_table *table, const int64_t *first, int64_t bands, int64_t hops,
                       int64_t *values);

/* --- The spectrum stream (spectrum.h) --------------------------------------------------------------------- */

enum { EVC_DEPTHS = 5, EVC_BANDS = 42, EVC_BLOCKS = 16 };

/* The frozen model: networks and tables by channel and pass. The first layer of a network has rows of biases, one for
   each pair of a block's depth and that before it. */
typedef struct {
    evc_layer energy[2][3][3], coefficient[2][2][3];
    evc_table energy_tables[2][3], coefficient_tables[2][2], band, stereo, split, hold, alone, offsets;
    evc_adaptive adaptive;
} evc_spectrum_model;

/* Bands of every depth: their number, their edges in bins, and the fine band in which each begins; step offsets and
   losses of spread energy, of fine and of coarse bands. */
typedef struct {
    int32_t superframe, coarse_bands, fine_bands;
    int32_t bands[5], edges[5][43], fine[5][43];
    int32_t offset[2][42], spreading[2][42][42];
} evc_geometry;

/* The blocks of the superframes of one channel group, at most 16 in each: what `Block` has, by superframe and place.
   modes [.., coarse bands]; energies, rises, steps [.., channels, fine bands], those of the block first; coefficients
   [superframes, channels, bins of a superframe], in each channel block after block. */
typedef struct {
    int32_t *offsets, *counts;
    uint8_t *depths, *held, *alone, *rising;
    int32_t *modes, *energies, *rises, *steps, *coefficients;
} evc_blocks;

/* How the encoder decides (models/spectrum/quantise.py). */
typedef struct {
    float bit_weight, bits_of_one, bits_per_octave, sign_bits, worth_coding;
    double rise_bits, band_rise_bits;
} evc_search;

/* A walk through a group's blocks (evc/format/streams/spectrum_walk.py). covered: first frames and ends [count, 2] of
   where patterns sound. NULL where there is no memory. */
typedef struct evc_walk evc_walk;
evc_walk *evc_walk_begin(const evc_spectrum_model *model, const evc_geometry *geometry, int32_t channels, int32_t gain,
                         int32_t graded, const int64_t *covered, int32_t count);
void evc_walk_end(evc_walk *walk);

/* Superframes [first, end) of `blocks`. Reading accounts for symbols if `places` is not NULL, and adds to it
   what each superframe cost. In a search, spectra are float [superframes, channels, bins] like the
   coefficients, and heard, or NULL, int32 like the energies. */
void evc_walk_read(evc_walk *walk, evc_port *port, const evc_blocks *blocks, int32_t first, int32_t end,
                   double *places);
void evc_walk_write(evc_walk *walk, evc_port *port, const evc_blocks *blocks, int32_t first, int32_t end);
void evc_walk_search(evc_walk *walk, evc_port *port, const evc_blocks *blocks, int32_t first, int32_t end,
                     const evc_search *how, const float *spectra, const int32_t *heard);

/* Escapes, low bits and signs of all walks of a stream together (spec 9.11). */
void evc_walks_complete(evc_walk *const *walks, int32_t count, evc_port *port, int32_t accounting);
void evc_walks_write_rest(evc_walk *const *walks, int32_t count, evc_port *port);
