// RUN/config.yaml, from which a run goes on: whether it still has its end.
#pragma once
#include <string>

namespace switchyard::record {

/// The last line of every config.yaml. A file that lost its end would be read with defaults in place of what is gone.
constexpr const char* config_end = "# end of config.yaml\n";

/// Throws Error{corrupt} where RUN/config.yaml cannot be read back, or differs from the newest segment's configuration
/// in an option that no continuation may change. The others are the user's to edit: returns in a sentence which differ,
/// "" where none does.
std::string check_config(const std::string& run);
/// Reads RUN/config.yaml, whole; throws as files::read_text. Error{usage} where no run is there; Error{corrupt} where
/// one is but the file is missing or is none, does not end with config_end, or lacks an option that the newest segment
/// was started with (not where the records are of an earlier program, which wrote no end). The message says where the
/// whole text is kept.
std::string read_config(const std::string& run);

}  // namespace switchyard::record
