/* What a port needs once, and the calls of a reading one (spec 5): as `ReferenceWords` in evc/format/words.py. */
#include "port.h"

#include "start.h"

uint32_t evc_checksums[4][256];
uint32_t evc_golomb_starts[EVC_GOLOMB_PREFIXES + 1];

/* CRC-32 by the table of a byte, and of one to three bytes followed by zeros. */
static void make_checksums(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (0xEDB88320u & (0u - (crc & 1)));
        evc_checksums[0][byte] = crc;
    }
    for (int zeros = 1; zeros < 4; zeros++)
        for (int byte = 0; byte < 256; byte++) {
            uint32_t crc = evc_checksums[zeros - 1][byte];
            evc_checksums[zeros][byte] = crc >> 8 ^ evc_checksums[0][crc & 255];
        }
}

/* Cumulative frequencies of weights [symbols] (spec 5.2). */
static void normalise(const int64_t *weights, int symbols, uint32_t *starts) {
    uint64_t total = 0, below = 0;
    for (int s = 0; s < symbols; s++) total += (uint64_t)weights[s];
    for (int s = 0; s < symbols; s++) {
        starts[s] = (uint32_t)((total ? below * (uint64_t)(WHOLE - symbols) / total
                                      : (uint64_t)s * (uint64_t)(WHOLE - symbols) / (uint64_t)symbols) + (uint64_t)s);
        below += (uint64_t)weights[s];
    }
    starts[symbols] = WHOLE;
}

void evc_start_port(void) {
    int64_t weights[EVC_GOLOMB_PREFIXES];
    for (int length = 0; length < EVC_GOLOMB_PREFIXES; length++) weights[length] = (int64_t)WHOLE >> (length + 1);
    normalise(weights, EVC_GOLOMB_PREFIXES, evc_golomb_starts);
    make_checksums();
}

void evc_more_room(evc_port *p) {
    int64_t room = p->room ? 2 * p->room : 4096;
    evc_interval *written = realloc(p->written, (size_t)room * sizeof *written);
    if (written) {
        p->written = written;
        p->room = room;
    } else {
        p->error = EVC_MEMORY;
    }
}

void evc_forget(evc_port *p) {
    free(p->written);
    p->written = NULL;
    p->count = p->room = 0;
}

void evc_reading(evc_port *p, const uint32_t *words, int64_t count, int64_t symbols) {
    memset(p, 0, sizeof *p);
    p->range = UINT64_MAX;
    p->point = (uint64_t)(count > 0 ? words[0] : 0) << 32 | (count > 1 ? words[1] : 0);
    p->words = words;
    p->words_count = count;
    p->next = 2;
    p->left = symbols;
    p->checksum = UINT32_MAX;
}

void evc_read_rows(evc_port *p, const evc_table *table, const int64_t *rows, int64_t count, int32_t *symbols) {
    for (int64_t i = 0; i < count; i++) {
        if (rows[i] < 0 || rows[i] >= table->rows) p->error = EVC_ROW;
        symbols[i] = p->error ? 0 : code_symbol(READ, p, table, rows[i], 0);
    }
}

void evc_read_row(evc_port *p, const evc_table *table, int64_t row, int64_t count, int32_t *symbols) {
    if (row < 0 || row >= table->rows) p->error = EVC_ROW;
    for (int64_t i = 0; i < count; i++) symbols[i] = p->error ? 0 : code_symbol(READ, p, table, row, 0);
}

int32_t evc_read_weighted(evc_port *p, const int64_t *weights, int32_t symbols) {
    uint32_t few[257], *starts = symbols < 257 ? few : malloc(((size_t)symbols + 1) * sizeof *starts);
    if (!starts) {
        p->error = EVC_MEMORY;
        return 0;
    }
    normalise(weights, symbols, starts);
    int32_t symbol = read_symbol(p, starts, symbols);
    if (starts != few) free(starts);
    return symbol;
}

void evc_read_uniform(evc_port *p, int64_t size, int64_t count, int32_t *values) {
    for (int64_t i = 0; i < count; i++) values[i] = read_uniform(p, size);
}

void evc_read_uniforms(evc_port *p, const int64_t *sizes, int64_t count, int32_t *values) {
    for (int64_t i = 0; i < count; i++) values[i] = read_uniform(p, sizes[i]);
}

int64_t evc_written(evc_port *p, int64_t *from, int64_t room, int32_t *symbols, double *weights) {
    int64_t count = 0;
    for (; *from < p->count && count < room; ++*from) {
        const evc_interval *one = &p->written[*from];
        const int64_t before = one->start, size = one->size, behind = WHOLE - before - size;
        double *three = weights + 3 * count;
        if (size && before + behind == 1) {
            if (count) break;
            passed(p, one->symbol);
            symbols[0] = before ? 1 : 0;
            three[0] = (double)(before ? 0 : size - 1);
            three[1] = (double)(before ? size - 1 : 0);
            ++*from;
            return -1;
        }
        passed(p, one->symbol);
        if (!size) continue;
        symbols[count++] = !before ? 0 : behind ? 1 : 2;
        three[0] = (double)(before ? behind ? before - 1 : before - 2 : size - 1);
        three[1] = (double)(before && behind ? size - 1 : 0);
        three[2] = (double)(behind ? before ? behind - 1 : behind - 2 : size - 1);
    }
    return count;
}
