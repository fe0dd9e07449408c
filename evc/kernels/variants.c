#include "variants.h"

#include "sound.h"

bool evc_wider;
double evc_octave[EVC_OCTAVE];

int32_t evc_widen(int32_t wanted) {
#ifdef CHOICE
    __builtin_cpu_init();
    evc_wider = wanted && __builtin_cpu_supports("avx2");
#else
    (void)wanted;
#endif
    return evc_wider;
}

void evc_prepare_sound(void) {
    evc_widen(1);
    for (int i = 0; i < EVC_OCTAVE; i++) evc_octave[i] = exp2((double)i / EVC_OCTAVE);
}
