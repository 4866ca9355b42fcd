// The protocol of described structs: a struct lists its members once, and every visitor (reading, writing, help,
// overrides, hashing, validation of ranges) goes over that list.
#pragma once
#include <concepts>

namespace switchyard {

/// Accepts any member; used only to ask whether a type is described.
struct FieldProbe {
  template <class T>
  void operator()(const char* /*name*/, T& /*member*/, const char* /*unit*/, const char* /*help*/) const {}
};

/// T is described if `T::fields(self, visit)` calls visit(name, member, unit, help) for each of its members.
template <class T>
concept Described = requires(T& self, FieldProbe probe) {
  T::fields(self, probe);
};

}  // namespace switchyard
