// What is said where the job ends: by system calls alone, since everything else may be what hangs.
#pragma once
#include <string>

namespace switchyard::train {

/// To an open descriptor, as much as it takes.
void write_all(int file, const std::string& text);

/// "TIME error TEXT", as the lines of Progress begin; nothing where the file cannot be opened.
void append_to_log(const std::string& file, const std::string& text);

}  // namespace switchyard::train
