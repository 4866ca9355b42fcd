#include "record/provenance.hpp"

#include <openssl/crypto.h>
#include <unistd.h>

#include <Kokkos_Core.hpp>
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/check.hpp"
#include "base/version.hpp"
#include "comm/collectives.hpp"
#include "hdf5/hdf5.hpp"
#include "tensor/products/library.hpp"
#include "tensor/types.hpp"

extern char** environ;

namespace switchyard::record {
namespace {

using Json = nlohmann::ordered_json;

std::string host_name() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

std::string mpi_library() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = {};
  int length = 0;
  MPI_Get_library_version(text, &length);
  const std::string all(text, static_cast<std::size_t>(length));
  return all.substr(0, std::min(all.find(", package"), all.find('\n')));
}

std::string kokkos_library() {
  const int v = KOKKOS_VERSION;
  return std::to_string(v / 10000) + "." + std::to_string(v / 100 % 100) + "." + std::to_string(v % 100);
}

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.rfind("model name", 0) == 0) return line.substr(std::min(line.size(), line.find(':') + 2));
  return "unknown";
}

std::string vector_units() {
  std::string units;
#ifdef __AVX2__
  units += "avx2 ";
#endif
#ifdef __AVX512F__
  units += "avx512f ";
#endif
  return units.empty() ? "baseline" : units.substr(0, units.size() - 1);
}

std::string now_utc() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

/// SLURM_JOB_ID, SLURM_RESTART_COUNT and the like, as rank 0 sees them. Addresses are left out.
Json batch_system() {
  Json ids = Json::object();
  for (char** entry = environ; *entry; ++entry) {
    const std::string text = *entry;
    const auto equals = text.find('=');
    if (text.rfind("SLURM_", 0) != 0 || equals == std::string::npos) continue;
    const std::string name = text.substr(0, equals);
    for (const char* wanted :
         {"SLURM_JOB_ID", "SLURM_JOB_NAME", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_RESTART_COUNT",
          "SLURM_JOB_PARTITION", "SLURM_CLUSTER_NAME", "SLURM_JOB_NUM_NODES", "SLURM_NTASKS"})
      if (name == wanted) ids[name] = text.substr(equals + 1);
  }
  return ids;
}

Json libraries() {
  Json list;
  list["mpi"] = mpi_library();
  list["hdf5"] = hdf5::library_version();
  list["kokkos"] = kokkos_library();
  std::istringstream known(version::libraries);
  for (std::string entry; std::getline(known, entry, '|');)
    list[entry.substr(0, entry.find('='))] = entry.substr(entry.find('=') + 1);
  list["openssl"] = OpenSSL_version(OPENSSL_VERSION);
  list["blas"] = products::description();
  return list;
}

/// Ranks of each host, in rank order: [["node1", 4], ["node2", 4]].
Json hosts_of(const std::vector<std::string>& names) {
  Json hosts = Json::array();
  for (const auto& name : names) {
    if (!hosts.empty() && hosts.back()[0] == name)
      hosts.back()[1] = hosts.back()[1].get<int>() + 1;
    else
      hosts.push_back({name, 1});
  }
  return hosts;
}

}  // namespace

std::string program_version() { return version::program; }
std::string program_commit() { return version::commit; }

std::vector<std::string> what_computes(const comm::Communicator& world) {
  const std::string products = products::bits_depend_on();
  return comm::all_gather(world, "program " + program_commit() + (products.empty() ? "" : " with " + products));
}

void require_one_kind(const std::vector<std::string>& kinds) {
  for (std::size_t r = 0; r < kinds.size(); ++r)
    if (kinds[r] != kinds[0])
      throw AgreedError(Exit::layout_variant, "rank " + std::to_string(r) + " runs " + kinds[r] + ", rank 0 " +
                                                  kinds[0] +
                                                  " (sums may round differently there, so the same bits on every "
                                                  "layout cannot be promised); start the same program on every node, "
                                                  "and on GPUs of one architecture");
}

std::string provenance_json(const comm::Communicator& world, const Start& start) {
  const auto names = comm::all_gather(world, host_name());
  Json json;
  json["program"] = {{"version", program_version()}, {"commit", program_commit()}};
  json["compiler"] = {{"name", version::compiler},
                      {"flags", version::flags},
                      {"build_type", version::build_type},
                      {"vector_units", vector_units()}};
  json["libraries"] = libraries();
  json["backend"] = Device::name();
  std::ostringstream kokkos;
  Kokkos::print_configuration(kokkos);
  json["kokkos_configuration"] = kokkos.str();
  json["ranks"] = world.size();
  json["threads"] = start.threads;
  json["hosts"] = hosts_of(names);
  json["processor"] = processor();
  json["batch_system"] = batch_system();
  json["start_time"] = now_utc();
  json["command"] = start.command;
  json["notes"] = start.notes;
  if (!start.parent.empty()) json["parent"] = Json::parse(start.parent);
  return comm::broadcast(world, json.dump(1, ' ', false, Json::error_handler_t::replace), 0);
}

std::vector<std::string> provenance_lines(const std::string& provenance) {
  const Json json = Json::parse(provenance);
  const auto text = [](const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); };
  std::ostringstream out;
  out << "switchyard " << text(json["program"]["version"]) << " commit=" << text(json["program"]["commit"])
      << " backend=" << text(json["backend"]) << " products=" << json["libraries"]["blas"] << '\n';
  out << "ranks=" << json["ranks"] << " threads=" << json["threads"] << " processor=" << json["processor"] << " hosts=";
  for (const Json& host : json["hosts"]) out << text(host[0]) << ':' << host[1] << ' ';
  out << "\ncommand:";
  for (const Json& word : json["command"]) out << ' ' << text(word);
  for (const auto& [name, value] : json["batch_system"].items()) out << '\n' << name << '=' << text(value);
  std::vector<std::string> lines;
  std::istringstream in(out.str());
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::string version_text() {
  std::ostringstream out;
  out << "switchyard " << version::program << " (commit " << version::commit << ")\n";
  out << "backend       " << Device::name() << "\n";
  out << "compiler      " << version::compiler << ", " << version::build_type << ", " << vector_units() << "\n";
  const Json list = libraries();
  for (const auto& [name, text] : list.items()) {
    const std::string value = text.get<std::string>();
    out << name << std::string(name.size() < 14 ? 14 - name.size() : 1, ' ') << value << "\n";
  }
  return out.str();
}

}  // namespace switchyard::record
