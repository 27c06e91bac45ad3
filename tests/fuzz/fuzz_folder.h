// A folder in memory for a fuzz target that reads files. It belongs to this process and is deleted
// at its end.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace longspan {

// `name` tells the targets of one machine apart. The first call makes the folder.
inline const std::string& FuzzFolder(const char* name) {
  static const std::string& folder = *[name] {  // never destroyed: the clean-up at exit reads it
    const std::string root = std::filesystem::exists("/dev/shm")
                                 ? "/dev/shm"
                                 : std::filesystem::temp_directory_path().string();
    auto* path = new std::string(root + "/longspan_" + name + "." + std::to_string(getpid()));
    std::filesystem::create_directories(*path);
    std::atexit([] { std::filesystem::remove_all(FuzzFolder("")); });
    return path;
  }();
  return folder;
}

inline void WriteFuzzFile(const std::string& path, std::string_view content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(content.data(), static_cast<std::streamsize>(content.size()));
}

}  // namespace longspan
