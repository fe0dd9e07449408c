/* Functions of floats that compilers turn into vectors: no branches, no calls, the same results however wide. */
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "port.h"

/* Besides the baseline, compile for AVX2, and let the loader choose: where loaders can. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__GLIBC__)
#define WIDE __attribute__((target_clones("avx2", "default")))
#else
#define WIDE
#endif

INLINE float of_bits(int32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

INLINE int32_t to_bits(float value) {
    int32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

INLINE float at_least(float value, float low) { return value > low ? value : low; }

/* The smaller of two numbers that are not negative, whose bits are in the same order. */
INLINE float at_most(float value, float high) {
    const int32_t bits = to_bits(value), most = to_bits(high);
    return of_bits(bits < most ? bits : most);
}

INLINE float within(float value, float low, float high) {
    value = value > low ? value : low;
    return value < high ? value : high;
}

/* Natural logarithm of a normal number: with m from sqrt(1/2) to sqrt(2), value = m * 2**e, and ln m is
   2 artanh((m - 1) / (m + 1)), of whose series five terms are enough. */
INLINE float ln(float value) {
    const int32_t bits = to_bits(value), exponent = (bits - 0x3f3504f3) >> 23;
    const float m = of_bits(bits - (exponent << 23)), s = (m - 1) / (m + 1), t = s * s;
    const float series = t * (2.0f / 3 + t * (2.0f / 5 + t * (2.0f / 7 + t * (2.0f / 9))));
    return (float)exponent * 0.693145751953125f + ((float)exponent * 1.42860682030941723e-6f + (s * series + 2 * s));
}

/* e**value from -87 to 87. */
INLINE float exponential(float value) {
    const float shifted = value * 1.44269504f + 12582912.0f; /* rounds: 1.5 * 2**23 */
    const int32_t whole = to_bits(shifted) - to_bits(12582912.0f);
    const float count = shifted - 12582912.0f;
    const float r = (value - count * 0.693145751953125f) - count * 1.42860682030941723e-6f;
    const float series =
        1 + r * (1 + r * (1.0f / 2 + r * (1.0f / 6 + r * (1.0f / 24 + r * (1.0f / 120 + r * (1.0f / 720))))));
    return series * of_bits((whole + 127) << 23);
}

/* Sums in a fixed order, eight at a time. */
enum { LANES = 8 };

INLINE float total(const float *lanes) {
    return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}
