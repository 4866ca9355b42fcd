#include "bench/serve.hpp"

#include <cstdio>
#include <iostream>
#include <sstream>

#include "comm/collectives.hpp"

namespace switchyard::bench {
namespace {

constexpr int most_at_once = 1 << 20;

/// What a line asks for; nothing where it is not understood.
struct Request {
  std::string name;
  int count = 0;
};

Request request_of(const std::string& line, const std::map<std::string, Measure>& measures) {
  std::istringstream words(line);
  Request request;
  std::string more;
  words >> request.name >> request.count;
  const bool good = !words.fail() && !(words >> more) && measures.contains(request.name) && request.count >= 1 &&
                    request.count <= most_at_once;
  return good ? request : Request{};
}

void print(const comm::Communicator& world, const nlohmann::ordered_json& line) {
  if (world.rank() != 0) return;
  std::printf("%s\n", line.dump().c_str());
  std::fflush(stdout);
}

/// The next line of rank 0 on all ranks; "quit" at the end of the input.
std::string next_line(const comm::Communicator& world) {
  std::string line;
  if (world.rank() == 0 && !std::getline(std::cin, line)) line = "quit";
  return comm::broadcast(world, line, 0);
}

}  // namespace

void serve(const comm::Communicator& world, nlohmann::ordered_json ready,
           const std::map<std::string, Measure>& measures) {
  ready["ready"] = true;
  print(world, ready);
  for (std::string line = next_line(world); line != "quit"; line = next_line(world)) {
    const Request request = request_of(line, measures);
    nlohmann::ordered_json answer;
    if (request.count > 0)
      answer[request.name] = measures.at(request.name)(request.count);
    else
      answer["error"] = "'" + line + "' is not understood; ask for 'NAME COUNT' or 'quit'";
    print(world, answer);
  }
}

}  // namespace switchyard::bench
