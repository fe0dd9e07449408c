#pragma once
#include <stdint.h>

/* What Python calls: declarations without preprocessor directives, which cffi reads. Arrays are contiguous. */

/* Checksum of the sources (sources.py). */
uint32_t evc_built_from(void);

/* Makes tables, and finds out what the processor can do; once, before anything else. */
void evc_start(void);

/* --- Symbols (port.h) ------------------------------------------------------------------------------------- */

/* What a call found wrong. Those from EVC_MALFORMED on are values that break a limit, those before it damage. */
enum { EVC_OK, EVC_WORDS, EVC_SYMBOLS, EVC_LONG, EVC_LARGE, EVC_ENERGY, EVC_COEFFICIENT, EVC_MEMORY,
       EVC_MALFORMED, EVC_LEVEL = EVC_MALFORMED };

/* Frozen distributions: `starts` [rows, symbols + 1] are the sums of the frequencies below each symbol, `bits`
   [rows, symbols] what symbols cost. */
typedef struct {
    int32_t symbols;
    const uint32_t *starts;
    const float *bits;
} evc_table;

/* A symbol with the interval [start, start + size) that it has of 2**24; a size of 0 is no interval at all. */
typedef struct {
    int32_t symbol;
    uint32_t start, size;
} evc_interval;

/* Where symbols come from, go to, or are counted. All zero, but for what evc_reading sets. */
typedef struct {
    int32_t error;
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
int32_t evc_read_weighted(evc_port *port, const int64_t *weights, int32_t symbols, uint32_t *room);
void evc_read_uniform(evc_port *port, int64_t size, int64_t count, int32_t *values);
void evc_read_uniforms(evc_port *port, const int64_t *sizes, int64_t count, int32_t *values);

/* --- Integer networks (network.h) ------------------------------------------------------------------------- */

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
