// Page-locks memory of the host, for a device to copy to and from it by itself.
#pragma once
#include <cstdint>
#include <memory>

namespace switchyard {

/// `memory` of `bytes`, locked until the last owner of what is returned is gone. On a host build as it is.
std::shared_ptr<void> page_locked(std::shared_ptr<void> memory, std::int64_t bytes);

}  // namespace switchyard
