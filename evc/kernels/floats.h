/* Functions of floats that compilers turn into vectors: no branches, no calls, the same results however wide. */
#pragma once
#include "port.h"

#define PI 3.14159265358979323846

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

INLINE float larger(float one, float other) { return one > other ? one : other; }

INLINE float smaller(float one, float other) { return one < other ? one : other; }

/* The exponent of a positive normal number, which becomes its fraction, from sqrt(1/2) to sqrt(2). */
INLINE int32_t split_off_exponent(float *value) {
    const int32_t bits = to_bits(*value), exponent = (bits - 0x3f3504f3) >> 23;
    *value = of_bits(bits - (int32_t)((uint32_t)exponent << 23));
    return exponent;
}

/* Natural logarithm of a positive normal number: with its fraction m, ln m is 2 artanh((m - 1) / (m + 1)), of whose
   series five terms are enough. */
INLINE float ln(float value) {
    const int32_t exponent = split_off_exponent(&value);
    const float s = (value - 1) / (value + 1), t = s * s;
    const float series = t * (2.0f / 3 + t * (2.0f / 5 + t * (2.0f / 7 + t * (2.0f / 9))));
    return (float)exponent * 0.693145751953125f + ((float)exponent * 1.42860682030941723e-6f + (s * series + 2 * s));
}

/* The same to base 2, to a unit or two of the last place, with one term less. */
INLINE float fast_log2(float value) {
    const int32_t exponent = split_off_exponent(&value);
    const float s = (value - 1) / (value + 1), square = s * s;
    return (float)exponent + s * (2.8853900818f + square * (0.9617966939f + square * (0.5770780164f +
           square * 0.4121985831f)));
}

/* e**x where it is near 1. */
INLINE float series_of_exp(float x) {
    return 1 + x * (1 + x * (1 / 2.f + x * (1 / 6.f + x * (1 / 24.f + x * (1 / 120.f + x * (1 / 720.f))))));
}

/* e**value from -87 to 87. */
INLINE float exponential(float value) {
    const float shifted = value * 1.44269504f + 12582912.0f; /* rounds: 1.5 * 2**23 */
    const int32_t whole = to_bits(shifted) - to_bits(12582912.0f);
    const float count = shifted - 12582912.0f;
    const float r = (value - count * 0.693145751953125f) - count * 1.42860682030941723e-6f;
    return series_of_exp(r) * of_bits((whole + 127) << 23);
}

/* 2 to the power of 0 ... 120. */
INLINE float fast_exp2(float power) {
    const int32_t whole = (int32_t)(power + 0.5f);
    return of_bits((whole + 127) << 23) * series_of_exp((power - (float)whole) * 0.6931471806f);
}
