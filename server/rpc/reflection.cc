#include "server/rpc/reflection.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <grpc/reflection/v1/reflection.grpc.pb.h>
#include <grpc/reflection/v1alpha/reflection.grpc.pb.h>

#include <set>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "core/error_details.h"
#include "server/rpc/drain_bell.h"
#include "server/rpc/metadata_limit.h"
#include "server/wire/status.h"

namespace longspan {
namespace {

namespace v1 = grpc::reflection::v1;
namespace v1alpha = grpc::reflection::v1alpha;
using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;

// The files of one stream: each is sent once, before the files that need it.
class FileSender {
 public:
  template <typename Response>
  void Add(const FileDescriptor* file, Response* response) {
    if (!sent_.insert(file).second) return;
    for (int i = 0; i < file->dependency_count(); ++i) Add(file->dependency(i), response);
    google::protobuf::FileDescriptorProto proto;
    file->CopyTo(&proto);
    proto.SerializeToString(response->add_file_descriptor_proto());
  }
  // The file that was asked for is sent even where an earlier answer held it.
  template <typename Response>
  void AddAskedFor(const FileDescriptor* file, Response* response) {
    sent_.erase(file);
    Add(file, response);
  }

 private:
  std::set<const FileDescriptor*> sent_;
};

template <typename Request, typename Response>
void Answer(const Request& request, const std::vector<std::string>& services, FileSender* files,
            Response* response) {
  const DescriptorPool& pool = *DescriptorPool::generated_pool();
  response->set_valid_host(request.host());
  *response->mutable_original_request() = request;
  const auto not_found = [&](const std::string& what) {
    response->mutable_error_response()->set_error_code(grpc::StatusCode::NOT_FOUND);
    response->mutable_error_response()->set_error_message(absl::StrCat(what, " is not known here"));
  };
  const auto send = [&](const FileDescriptor* file, const std::string& what) {
    file != nullptr ? files->AddAskedFor(file, response->mutable_file_descriptor_response())
                    : not_found(what);
  };
  switch (request.message_request_case()) {
    case Request::kFileByFilename:
      return send(pool.FindFileByName(request.file_by_filename()),
                  absl::StrCat("file ", Quoted(request.file_by_filename())));
    case Request::kFileContainingSymbol:
      return send(pool.FindFileContainingSymbol(request.file_containing_symbol()),
                  absl::StrCat("symbol ", Quoted(request.file_containing_symbol())));
    case Request::kFileContainingExtension: {
      const auto& asked = request.file_containing_extension();
      const Descriptor* type = pool.FindMessageTypeByName(asked.containing_type());
      const FieldDescriptor* field =
          type == nullptr ? nullptr : pool.FindExtensionByNumber(type, asked.extension_number());
      return send(field == nullptr ? nullptr : field->file(),
                  absl::StrCat("extension ", asked.extension_number(), " of ",
                               Quoted(asked.containing_type())));
    }
    case Request::kAllExtensionNumbersOfType: {
      const std::string& name = request.all_extension_numbers_of_type();
      const Descriptor* type = pool.FindMessageTypeByName(name);
      if (type == nullptr) return not_found(absl::StrCat("message type ", Quoted(name)));
      std::vector<const FieldDescriptor*> extensions;
      pool.FindAllExtensions(type, &extensions);
      response->mutable_all_extension_numbers_response()->set_base_type_name(name);
      for (const FieldDescriptor* field : extensions) {
        response->mutable_all_extension_numbers_response()->add_extension_number(field->number());
      }
      return;
    }
    case Request::kListServices:
      for (const std::string& service : services)
        response->mutable_list_services_response()->add_service()->set_name(service);
      return;
    case Request::MESSAGE_REQUEST_NOT_SET:
      response->mutable_error_response()->set_error_code(grpc::StatusCode::INVALID_ARGUMENT);
      response->mutable_error_response()->set_error_message(
          "the request asks for nothing; allowed: file_by_filename, file_containing_symbol, "
          "file_containing_extension, all_extension_numbers_of_type, list_services");
      return;
  }
}

// An open stream, of either version.
class OpenStream {
 public:
  virtual ~OpenStream() = default;
  // Ends the stream behind the answer that it is writing. Called under Streams::mu.
  virtual void LeaveLocked() = 0;
};

// What the streams of both versions share.
struct Streams {
  std::vector<std::string> services;
  KeyRing* keys;
  absl::Mutex mu;  // also guards the state of each stream
  std::set<OpenStream*> open ABSL_GUARDED_BY(mu);
  bool finishing ABSL_GUARDED_BY(mu) = false;
};

absl::Status Admit(const grpc::CallbackServerContext& context, KeyRing* keys) {
  if (absl::Status status = CheckMetadata(context); !status.ok()) return status;
  const auto found = context.client_metadata().find("authorization");
  return keys->Check(found == context.client_metadata().end()
                         ? ""
                         : std::string_view(found->second.data(), found->second.size()));
}

// One request after another, each answered before the next is read.
template <typename Request, typename Response>
class Stream final : public grpc::ServerBidiReactor<Request, Response>, public OpenStream {
 public:
  Stream(grpc::CallbackServerContext* context, Streams* streams) : streams_(streams) {
    const absl::Status allowed = Admit(*context, streams->keys);
    absl::MutexLock lock(&streams_->mu);
    streams_->open.insert(this);
    if (!allowed.ok()) {
      EndLocked(ToGrpcStatus(allowed));
    } else {
      ReadLocked();
    }
  }

  void OnReadDone(bool ok) override {
    if (ok) {
      response_.Clear();
      Answer(request_, streams_->services, &files_, &response_);
    }
    absl::MutexLock lock(&streams_->mu);
    if (!ok) return EndLocked(grpc::Status::OK);
    if (ended_) return;
    writing_ = true;
    this->StartWrite(&response_);
  }
  void OnWriteDone(bool ok) override {
    absl::MutexLock lock(&streams_->mu);
    writing_ = false;
    ok ? ReadLocked() : EndLocked(grpc::Status::CANCELLED);
  }
  void LeaveLocked() override {
    if (!writing_) EndLocked(ToGrpcStatus(DrainingStatus()));
  }
  // Nothing to do: the read or write under way fails, and its callback ends the stream.
  void OnCancel() override {}
  void OnDone() override {
    {
      absl::MutexLock lock(&streams_->mu);
      streams_->open.erase(this);
    }
    delete this;
  }

 private:
  void ReadLocked() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    if (streams_->finishing) return EndLocked(ToGrpcStatus(DrainingStatus()));
    this->StartRead(&request_);
  }
  void EndLocked(const grpc::Status& status) {
    if (std::exchange(ended_, true)) return;
    this->Finish(status);
  }

  Streams* const streams_;
  bool writing_ = false;
  bool ended_ = false;
  Request request_;
  Response response_;
  FileSender files_;
};

template <typename Base, typename Request, typename Response>
class Service final : public Base {
 public:
  explicit Service(Streams* streams) : streams_(streams) {}
  grpc::ServerBidiReactor<Request, Response>* ServerReflectionInfo(
      grpc::CallbackServerContext* context) override {
    return new Stream<Request, Response>(context, streams_);
  }

 private:
  Streams* const streams_;
};

}  // namespace

struct ReflectionServices::Parts {
  Streams streams;
  Service<v1::ServerReflection::CallbackService, v1::ServerReflectionRequest,
          v1::ServerReflectionResponse>
      current{&streams};
  Service<v1alpha::ServerReflection::CallbackService, v1alpha::ServerReflectionRequest,
          v1alpha::ServerReflectionResponse>
      older{&streams};
};

ReflectionServices::ReflectionServices(std::vector<std::string> services, KeyRing* keys)
    : parts_(std::make_unique<Parts>()) {
  services.insert(services.end(), {v1::ServerReflection::service_full_name(),
                                   v1alpha::ServerReflection::service_full_name()});
  parts_->streams.services = std::move(services);
  parts_->streams.keys = keys;
}

ReflectionServices::~ReflectionServices() = default;

void ReflectionServices::RegisterWith(grpc::ServerBuilder* builder) {
  builder->RegisterService(&parts_->current);
  builder->RegisterService(&parts_->older);
}

void ReflectionServices::FinishStreams() {
  absl::MutexLock lock(&parts_->streams.mu);
  parts_->streams.finishing = true;
  for (OpenStream* stream : parts_->streams.open) stream->LeaveLocked();
}

}  // namespace longspan
