/* Integer networks (spec 9.8): products in pairs of 16 bits, sums in 32. */
#pragma once
#include "port.h"

/* Takes the instructions that suit the processor. */
void evc_choose_network(void);
