/* The noise stream (spec 8.1): as `_PlaneCoder` in evc/format/streams/noise.py. */
#include "adaptive.h"
#include "events.h"

enum { FIRST, START, END, SORTS };

/* `joined`: the flag of a stretch that begins where the one before ends; `held`: of one without change, by that. */
struct evc_noise_plane {
    evc_adaptive adaptive;
    int32_t bands;
    int64_t least, most;
    bool begun;
    Context joined, held[2], again, place, length;
    int32_t recent_count, bits;
    int64_t recent[EVC_RECENT_VALUES];
    Changes changes[SORTS];
    int64_t before[EVC_MOST_CALL];
};

evc_noise_plane *evc_noise_begin(const evc_adaptive *adaptive, const int64_t *scales, const int64_t *signs,
                                 int32_t bands, int64_t least, int64_t most) {
    evc_noise_plane *plane = bands <= EVC_MOST_CALL ? calloc(1, sizeof *plane) : NULL;
    if (!plane) return NULL;
    plane->adaptive = *adaptive;
    plane->bands = bands;
    plane->least = least;
    plane->most = most;
    plane->joined = plane->held[0] = plane->held[1] = plane->again = (Context){EVC_FLAG_ONE / 2, 0};
    plane->place = plane->length = (Context){EVC_SCALE_ONE, 0};
    for (int sort = 0; sort < SORTS; sort++) {
        Changes *changes = &plane->changes[sort];
        for (int i = 0; i < CHANGE_CONTEXTS; i++)
            changes->sizes[i] = (Context){(int32_t)scales[sort * CHANGE_CONTEXTS + i], EVC_SETTLED};
        for (int i = 0; i < EVC_CHANGE_SIGNS; i++)
            changes->signs[i] = (Context){(int32_t)signs[sort * EVC_CHANGE_SIGNS + i], EVC_SETTLED};
    }
    return plane;
}

void evc_noise_end(evc_noise_plane *plane) { free(plane); }

INLINE bool code_flag(evc_mode mode, evc_port *p, const evc_noise_plane *plane, Context *context, bool flag) {
    int32_t at = 0, bit = flag;
    code_flags(mode, p, &plane->adaptive, context, &at, &bit, 1);
    return bit;
}

INLINE int64_t code_one(evc_mode mode, evc_port *p, const evc_noise_plane *plane, Context *context, int64_t value) {
    int32_t at = 0;
    code_unsigned(mode, p, &plane->adaptive, context, &at, &value, 1);
    return value;
}

/* A number that is not among the last (`Numbers._new`); -1 where it is out of range. */
INLINE int64_t code_new(evc_mode mode, evc_port *p, evc_noise_plane *plane, int64_t value) {
    int32_t bits = value ? floor_log2((uint64_t)value) + 1 : 0;
    int64_t difference = bits - plane->bits, size = code_one(mode, p, plane, &plane->length, llabs(difference));
    if (p->error) return -1;
    if (size) {
        bool negative = difference < 0;
        if (mode == READ) negative = read_uniform(p, 2);
        else write_uniform(p, negative, 2);
        difference = negative ? -size : size;
    } else {
        difference = 0;
    }
    if (difference < -64 || difference > 64) return -1;
    bits = plane->bits += (int32_t)difference;
    if (bits < 0 || bits > 31) return -1; /* of MAX_SPAN */
    if (!bits) return 0;
    const int64_t least = (int64_t)1 << (bits - 1);
    return least + code_pieces(mode, p, value - least, bits - 1);
}

/* A number that tends to come back (spec 6.3); -1 where it is out of range. */
INLINE int64_t code_number(evc_mode mode, evc_port *p, evc_noise_plane *plane, int64_t value) {
    int32_t place = plane->recent_count;
    for (int32_t i = plane->recent_count - 1; i >= 0; i--)
        if (plane->recent[i] == value) place = i;
    if (plane->recent_count && code_flag(mode, p, plane, &plane->again, place < plane->recent_count)) {
        const int64_t found = code_one(mode, p, plane, &plane->place, place);
        if (p->error || found >= plane->recent_count) return -1;
        place = (int32_t)found;
        value = plane->recent[place];
    } else {
        value = code_new(mode, p, plane, value);
        place = plane->recent_count;
    }
    if (place == EVC_RECENT_VALUES) place--;
    if (place == plane->recent_count) plane->recent_count++;
    memmove(plane->recent + 1, plane->recent, (size_t)place * sizeof *plane->recent);
    plane->recent[0] = value;
    return value;
}

INLINE bool same(const int64_t *a, const int64_t *b, int32_t count) {
    for (int32_t i = 0; i < count; i++)
        if (a[i] != b[i]) return false;
    return true;
}

INLINE void code_levels_from(evc_mode mode, evc_port *p, evc_noise_plane *plane, int sort, const int64_t *before,
                             int64_t *levels) {
    Changes *changes = &plane->changes[sort];
    code_changes(mode, p, &plane->adaptive, changes->sizes, changes->signs, plane->least, plane->most, before, levels,
                 plane->bands);
}

/* The levels at the start and the end of a stretch. */
INLINE void code_levels(evc_mode mode, evc_port *p, evc_noise_plane *plane, int64_t *start, int64_t *end) {
    const size_t size = (size_t)plane->bands * sizeof *start;
    bool joined = false;
    if (plane->begun) joined = code_flag(mode, p, plane, &plane->joined, same(start, plane->before, plane->bands));
    if (joined) memcpy(start, plane->before, size);
    else
        code_levels_from(mode, p, plane, plane->begun ? START : FIRST, plane->before, start);
    if (p->error) return;
    if (code_flag(mode, p, plane, &plane->held[joined], same(end, start, plane->bands))) memcpy(end, start, size);
    else
        code_levels_from(mode, p, plane, END, start, end);
    memcpy(plane->before, end, size);
    plane->begun = true;
}

int64_t evc_read_stretch(evc_noise_plane *plane, evc_port *port, int64_t left, int64_t *start, int64_t *end) {
    const int64_t length = code_number(READ, port, plane, 0);
    if (port->error || length < 0 || length > left) return 0;
    code_levels(READ, port, plane, start, end);
    return length ? length : left;
}

void evc_write_stretch(evc_noise_plane *plane, evc_port *port, int64_t length, int64_t left, int64_t *start,
                       int64_t *end) {
    code_number(WRITE, port, plane, length == left ? 0 : length);
    code_levels(WRITE, port, plane, start, end);
}
