// What MaxVio would be if experts were drawn by chance.
#pragma once
#include <cstdint>

namespace switchyard::record {

/// Expected largest of n standard normal values: ∫ n x φ(x) Φ(x)^(n−1) dx, to 1e-9.
double expected_largest_normal(int n);

/// Expected MaxVio of `draws` independent uniform draws over `experts` experts. The deviations of the counts from their
/// mean have the covariance of `experts` independent normals of variance draws/experts less their own mean, so that the
/// largest is m·sqrt(draws/experts), m = expected_largest_normal(experts), and MaxVio m·sqrt(experts/draws).
double max_vio_floor(int experts, std::int64_t draws);

}  // namespace switchyard::record
