// The counter-based random numbers of base/philox.hpp, for code that uses Kokkos.
#pragma once
#include <Kokkos_Core.hpp>

#include "base/philox.hpp"
