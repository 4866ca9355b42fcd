// Arithmetic on numbers that users and files give: a sum or product beyond 64 bits stays "too large" instead of
// wrapping to a number that looks like an answer.
#pragma once
#include <compare>
#include <cstdint>
#include <limits>
#include <string>

namespace switchyard {

/// An integer that saturates. Once a result does not fit, `fits()` is false and the value is the nearest end of int64,
/// in everything computed from it too; so a comparison with a limit still gives the right answer for sums and products
/// of numbers of one sign.
class Checked {
 public:
  constexpr Checked(std::int64_t value = 0) : value_(value) {}  // NOLINT: a number is what it is

  constexpr bool fits() const { return fits_; }
  constexpr std::int64_t value() const { return value_; }
  double as_double() const { return static_cast<double>(value_); }

  friend constexpr Checked operator+(Checked a, Checked b) {
    std::int64_t sum = 0;
    const bool overflow = __builtin_add_overflow(a.value_, b.value_, &sum);  // before sum is read
    return of(overflow, sum, b.value_ < 0, a, b);
  }
  friend constexpr Checked operator-(Checked a, Checked b) {
    std::int64_t difference = 0;
    const bool overflow = __builtin_sub_overflow(a.value_, b.value_, &difference);  // before difference is read
    return of(overflow, difference, b.value_ > 0, a, b);
  }
  friend constexpr Checked operator*(Checked a, Checked b) {
    std::int64_t product = 0;
    const bool overflow = __builtin_mul_overflow(a.value_, b.value_, &product);  // before product is read
    return of(overflow, product, (a.value_ < 0) != (b.value_ < 0), a, b);
  }
  /// b above 0.
  friend constexpr Checked operator/(Checked a, Checked b) { return of(false, a.value_ / b.value_, false, a, b); }
  constexpr Checked& operator+=(Checked b) { return *this = *this + b; }
  constexpr Checked& operator*=(Checked b) { return *this = *this * b; }
  friend constexpr auto operator<=>(Checked a, Checked b) { return a.value_ <=> b.value_; }
  friend constexpr bool operator==(Checked a, Checked b) { return a.value_ == b.value_; }

 private:
  static constexpr Checked of(bool overflow, std::int64_t value, bool negative, Checked a, Checked b) {
    using Limits = std::numeric_limits<std::int64_t>;
    Checked result(overflow ? (negative ? Limits::min() : Limits::max()) : value);
    result.fits_ = !overflow && a.fits_ && b.fits_;
    return result;
  }

  std::int64_t value_;
  bool fits_ = true;
};

/// "123", or "more than 9223372036854775807".
inline std::string to_string(Checked value) {
  return (value.fits() ? "" : value.value() < 0 ? "less than " : "more than ") + std::to_string(value.value());
}

}  // namespace switchyard
