/* The event stream (spec 7.1): as evc/format/streams/event_coding.py, and the times of positions.py. */
#include "events.h"
#include "weighted.h"

enum {
    SEMITONES = EVC_PITCHES / EVC_PITCHES_PER_SEMITONE + 1,
    OCTAVES = (SEMITONES - 1) / 12 + 1,
    HALF = EVC_PITCHES_PER_SEMITONE / 2,
    FINES = EVC_PITCHES_PER_SEMITONE,
    PARTS = EVC_USUAL_PARTS,
    MOST_SYMBOLS = 1 << EVC_AMPLITUDE_COUNT_BITS,
};

enum { TIME, NOTE, AMPLITUDE, PAN, FIRST_PART, TUNING = FIRST_PART + PARTS };

static const int32_t part_codes[PARTS] = EVC_EVENT_PARTS;

/* An event that was coded; `known` once there is one. */
typedef struct {
    bool known;
    int32_t semitone, fine, amplitude, pan, codes[PARTS];
} Event;

typedef struct {
    const evc_event_tables *tables;
    evc_port *port;
    int32_t levels, pans, grid, same;
    int64_t cells, cell, left;
    Mixture times, semitones, fines, amplitudes, pan, parts[PARTS];
    Event before, slots[SEMITONES];
    int64_t weights[MOST_SYMBOLS];
    int64_t *memory;
} Coder;

/* The contexts of each histogram of a part: none, the neighbour's code, what stands before it. */
static int32_t contexts_before(int32_t part) {
    if (part == 0) return 1;
    if (part >= EVC_FIRST_PARTIAL && part < EVC_FIRST_PARTIAL + EVC_PARTIALS)
        return 2 * part_codes[EVC_FIRST_PARTIAL - 1];
    return part_codes[part - 1];
}

static int64_t lay_out(Mixture *m, int64_t *memory, int64_t used, int32_t symbols, bool ordered, const int64_t *rates,
                       int32_t histograms, const int32_t *contexts) {
    m->symbols = symbols;
    m->ordered = ordered;
    m->histograms = histograms;
    for (int32_t h = 0; h < histograms; h++) {
        m->rates[h] = rates[h];
        m->rows[h] = memory ? memory + used : NULL;
        used += (int64_t)contexts[h] * (symbols + 2);
    }
    return used;
}

/* Gives the histograms their places in `memory`; returns how many numbers they take. */
static int64_t lay_out_all(Coder *c, int64_t *memory) {
    const int64_t *rates = c->tables->rates;
    int64_t used = 0;
    used = lay_out(&c->times, memory, used, EVC_DISTANCE_CLASSES, false, rates, 2, (int32_t[]){1, 2});
    used = lay_out(&c->semitones, memory, used, SEMITONES, false, rates + 3, 2, (int32_t[]){1, SEMITONES + 1});
    used = lay_out(&c->fines, memory, used, FINES, true, rates + 6, 3, (int32_t[]){1, EVC_FINENESSES, SEMITONES});
    used = lay_out(&c->amplitudes, memory, used, c->levels, true, rates + 9, 3, (int32_t[]){1, OCTAVES, SEMITONES});
    used = lay_out(&c->pan, memory, used, c->pans, true, rates + 12, 3, (int32_t[]){1, c->pans + 1, OCTAVES});
    for (int32_t part = 0; part < PARTS; part++)
        used = lay_out(&c->parts[part], memory, used, part_codes[part], false, rates + 15 + 3 * part, 3,
                       (int32_t[]){1, part_codes[part] + 1, contexts_before(part)});
    return used;
}

static void add(int64_t *weights, const int64_t *row, int32_t symbols) {
    for (int32_t s = 0; s < symbols; s++) weights[s] += row[s];
}

static void take(int64_t *weights, const int64_t *row, int32_t symbols) {
    memcpy(weights, row, (size_t)symbols * sizeof *weights);
}

/* --- Times ---------------------------------------------------------------------------------------------------- */

static int32_t distance_class(int64_t distance, int32_t *bits) {
    *bits = distance < 4 ? 0 : floor_log2((uint64_t)distance) - 1;
    return distance < 4 ? (int32_t)distance : 2 * *bits + (int32_t)(distance >> *bits);
}

static int64_t class_start(int32_t number) {
    return number < 4 ? number : (int64_t)(2 + (number & 1)) << ((number >> 1) - 1);
}

INLINE int64_t code_time(evc_mode mode, Coder *c, int64_t time) {
    int32_t bits;
    int64_t distance = (time >> c->grid) - c->cell;
    int32_t expected = distance_class((c->cells - 1 - c->cell) / c->left, &bits);
    if (expected > EVC_DISTANCE_CLASSES - 1) expected = EVC_DISTANCE_CLASSES - 1;
    int32_t number = mode == READ ? 0 : distance_class(distance, &bits);
    take(c->weights, c->tables->time + (int64_t)expected * EVC_DISTANCE_CLASSES, EVC_DISTANCE_CLASSES);
    number = code_mixed(mode, c->port, &c->times, c->weights, (int32_t[]){0, c->same}, number);
    const int64_t least = class_start(number);
    distance_class(least, &bits);
    distance = least + code_pieces(mode, c->port, distance - least, bits);
    c->cell += distance;
    c->left--;
    c->same = distance == 0;
    return c->cell < c->cells ? c->cell << c->grid : 0; /* which `code_event` tells apart by the cell */
}

/* --- What an event is like ------------------------------------------------------------------------------------- */

/* Bits of its fine pitch that an event does not tell: as `fineness`. */
static int32_t fineness(int32_t semitone, int32_t decay, int32_t length) {
    const int32_t thirds = semitone / 4 + (2 * decay < 3 * length + 11 ? 2 * decay : 3 * length + 11);
    const int32_t rest = 32 - thirds, bits = rest < 0 ? 0 : rest / 3;
    return bits < EVC_FINENESSES - 1 ? bits : EVC_FINENESSES - 1;
}

INLINE int32_t code_semitone(evc_mode mode, Coder *c, int32_t semitone) {
    take(c->weights, c->tables->note, SEMITONES);
    if (c->before.known)
        add(c->weights,
            c->tables->interval + (int64_t)c->same * (2 * SEMITONES - 1) + SEMITONES - 1 - c->before.semitone,
            SEMITONES);
    const int32_t contexts[] = {0, c->before.known ? c->before.semitone : SEMITONES};
    return code_mixed(mode, c->port, &c->semitones, c->weights, contexts, semitone);
}

INLINE int32_t code_fine(evc_mode mode, Coder *c, int32_t fine, const Event *event, const Event *near) {
    const int32_t row = fineness(event->semitone, event->codes[EVC_DECAY], event->codes[EVC_LENGTH]);
    take(c->weights, c->tables->tuning + row * FINES, FINES);
    if (near->known) add(c->weights, c->tables->fine + FINES - 1 - (near->fine + HALF), FINES);
    const int32_t contexts[] = {0, row, event->semitone};
    return code_mixed(mode, c->port, &c->fines, c->weights, contexts, fine + HALF) - HALF;
}

/* Weights of all amplitudes after one that is `other`. */
static void add_rise(Coder *c, int32_t row, int32_t other) {
    const int32_t middle = c->tables->rises / 2;
    const int64_t *table = c->tables->rise + (int64_t)row * c->tables->rises;
    for (int32_t s = 0; s < c->levels; s++) c->weights[s] += table[clip(s - other, -middle, middle) + middle];
}

INLINE int32_t code_amplitude(evc_mode mode, Coder *c, int32_t amplitude, int32_t semitone, const Event *near) {
    memset(c->weights, 0, (size_t)c->levels * sizeof *c->weights);
    add_rise(c, 0, c->before.known ? c->before.amplitude : 0);
    if (near->known) add_rise(c, 1, near->amplitude);
    const int32_t contexts[] = {0, semitone / 12, semitone};
    return code_mixed(mode, c->port, &c->amplitudes, c->weights, contexts, amplitude);
}

INLINE int32_t code_pan(evc_mode mode, Coder *c, int32_t pan, int32_t semitone, const Event *near) {
    const int32_t before = c->before.known ? c->before.pan : c->pans, beside = near->known ? near->pan : c->pans;
    if (c->pans == c->tables->pans) {
        take(c->weights, c->tables->pan + (int64_t)before * c->pans, c->pans);
        add(c->weights, c->tables->pan + (int64_t)(c->pans + 1 + beside) * c->pans, c->pans);
    } else {
        for (int32_t s = 0; s < c->pans; s++) c->weights[s] = EVC_UNKNOWN_WEIGHT;
    }
    const int32_t contexts[] = {0, beside, semitone / 12};
    return code_mixed(mode, c->port, &c->pan, c->weights, contexts, pan);
}

/* What the parts of the same event say of the next: as `EventCoder._context`. */
static int32_t part_context(int32_t part, const int32_t *codes) {
    if (part == 0) return 0;
    if (part >= EVC_FIRST_PARTIAL && part < EVC_FIRST_PARTIAL + EVC_PARTIALS)
        return 2 * codes[EVC_FIRST_PARTIAL - 1] + (part == EVC_FIRST_PARTIAL || codes[part - 1] != 0);
    return codes[part - 1];
}

INLINE int32_t code_part(evc_mode mode, Coder *c, int32_t part, int32_t code, const Event *event, const Event *near) {
    const int32_t size = part_codes[part], beside = near->known ? near->codes[part] : size;
    const int32_t before = part_context(part, event->codes);
    take(c->weights, c->tables->near[part] + (int64_t)beside * size, size);
    add(c->weights, c->tables->octave[part] + (int64_t)(event->semitone / 12) * size, size);
    add(c->weights, c->tables->before[part] + (int64_t)before * size, size);
    const int32_t contexts[] = {0, beside, before};
    return code_mixed(mode, c->port, &c->parts[part], c->weights, contexts, code);
}

/* --- Events ---------------------------------------------------------------------------------------------------- */

/* What was coded since the last call was such a field. */
static void charge(const Coder *c, const evc_events *events, int32_t field, double *bits, int64_t *left) {
    events->bits[field] += c->port->bits - *bits;
    events->symbols[field] += *left - c->port->left;
    *bits = c->port->bits;
    *left = c->port->left;
}

INLINE int32_t code_event(evc_mode mode, Coder *c, const evc_events *events, int64_t at) {
    int64_t *codes = events->codes + at * (1 + PARTS);
    double bits = c->port->bits;
    int64_t left = c->port->left;
    events->times[at] = code_time(mode, c, events->times[at]);
    charge(c, events, TIME, &bits, &left);
    if (c->port->error) return EVC_EVENTS_OK;
    if (c->cell >= c->cells) return EVC_EVENT_TIME;
    Event event = {.known = true};
    int32_t semitone = (int32_t)(codes[0] + HALF) / FINES, fine = (int32_t)codes[0] - semitone * FINES;
    event.semitone = code_semitone(mode, c, semitone);
    charge(c, events, NOTE, &bits, &left);
    const Event near = c->slots[event.semitone];
    event.amplitude = code_amplitude(mode, c, (int32_t)events->amplitudes[at], event.semitone, &near);
    charge(c, events, AMPLITUDE, &bits, &left);
    event.pan = code_pan(mode, c, (int32_t)events->pan[at], event.semitone, &near);
    charge(c, events, PAN, &bits, &left);
    for (int32_t part = 0; part < PARTS; part++) {
        event.codes[part] = code_part(mode, c, part, (int32_t)codes[1 + part], &event, &near);
        charge(c, events, FIRST_PART + part, &bits, &left);
    }
    event.fine = code_fine(mode, c, fine, &event, &near);
    charge(c, events, TUNING, &bits, &left);
    if (c->port->error) return EVC_EVENTS_OK;
    const int32_t pitch = FINES * event.semitone + event.fine;
    if (pitch < 0 || pitch >= EVC_PITCHES) return EVC_EVENT_PITCH;
    c->before = c->slots[event.semitone] = event;
    if (mode != READ) return EVC_EVENTS_OK;
    events->amplitudes[at] = event.amplitude;
    events->pan[at] = event.pan;
    codes[0] = pitch;
    for (int32_t part = 0; part < PARTS; part++) codes[1 + part] = event.codes[part];
    return EVC_EVENTS_OK;
}

INLINE int32_t code_events(evc_mode mode, const evc_event_tables *tables, evc_port *port, const evc_events *events) {
    Coder *c = calloc(1, sizeof *c);
    int32_t found = EVC_EVENTS_OK;
    if (c) {
        c->tables = tables;
        c->port = port;
        c->levels = events->levels;
        c->pans = events->pans;
        c->grid = events->grid;
        c->cells = events->cells;
        c->left = events->count;
        c->same = 1;
        c->memory = calloc((size_t)lay_out_all(c, NULL), sizeof *c->memory);
    }
    if (c && c->memory) {
        lay_out_all(c, c->memory);
        for (int64_t at = 0; at < events->count && !found && !port->error; at++)
            found = code_event(mode, c, events, at);
        free(c->memory);
    } else {
        port->error = EVC_MEMORY;
    }
    free(c);
    return found;
}

int32_t evc_read_events(const evc_event_tables *tables, evc_port *port, const evc_events *events) {
    return code_events(READ, tables, port, events);
}

int32_t evc_write_events(const evc_event_tables *tables, evc_port *port, const evc_events *events) {
    return code_events(WRITE, tables, port, events);
}
