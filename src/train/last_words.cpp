#include "train/last_words.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <ctime>

namespace switchyard::train {
namespace {

std::string time_text() {
  const std::time_t clock = std::time(nullptr);
  std::tm local{};
  localtime_r(&clock, &local);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%FT%T", &local);
  return text.data();
}

}  // namespace

void write_all(int file, const std::string& text) {
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t n = ::write(file, text.data() + at, text.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;  // the job ends anyway, and there is nobody left to tell
    at += static_cast<std::size_t>(n);
  }
}

void append_to_log(const std::string& file, const std::string& text) {
  const int log = ::open(file.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (log < 0) return;
  write_all(log, time_text() + " error " + text);
  ::close(log);
}

}  // namespace switchyard::train
