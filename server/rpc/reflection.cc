#include "server/rpc/reflection.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <grpc/reflection/v1/reflection.grpc.pb.h>
#include <grpc/reflection/v1alpha/reflection.grpc.pb.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <set>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "core/error_details.h"
#include "server/rpc/drain_bell.h"
#include "server/rpc/metadata_limit.h"
#include "server/rpc/raw_service.h"
#include "server/wire/serialized.h"
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
  OpenCalls* calls;
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

// A request holds a name, or an extension's number.
constexpr size_t kMaxRequestBytes = 64 << 10;

template <typename Request>
absl::Status ParseRequest(const grpc::ByteBuffer& bytes, Request* request) {
  if (bytes.Length() > kMaxRequestBytes) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the request has ", bytes.Length(), " bytes; allowed: at most ", kMaxRequestBytes));
  }
  grpc::ByteBuffer copy(bytes);  // shares the slices
  grpc::ProtoBufferReader reader(&copy);
  if (reader.status().ok() && request->ParseFromZeroCopyStream(&reader)) return absl::OkStatus();
  return absl::InvalidArgumentError("the request is not a valid ServerReflectionRequest");
}

// One request after another, each answered before the next is read.
template <typename Request, typename Response>
class Stream final : public RawReactor,
                     public OpenStream,
                     public OpenCalls::Reader,
                     public std::enable_shared_from_this<Stream<Request, Response>> {
 public:
  Stream(grpc::CallbackServerContext* context, Streams* streams)
      : streams_(streams),
        listed_(streams->calls->Add(std::nullopt, ClientOf(context->peer()), context)) {}

  static RawReactor* Start(grpc::CallbackServerContext* context, Streams* streams) {
    const auto stream = std::make_shared<Stream>(context, streams);
    stream->self_ = stream;
    const absl::Status allowed = Admit(*context, streams->keys);
    absl::MutexLock lock(&streams->mu);
    streams->open.insert(stream.get());
    allowed.ok() ? stream->ReadLocked() : stream->EndLocked(allowed);
    return stream.get();
  }

  void OnReadDone(bool ok) override {
    streams_->calls->ReadEnds(listed_);
    absl::Status status;
    grpc::ByteBuffer answer;
    if (ok) {
      Request request;
      status = ParseRequest(incoming_, &request);
      incoming_.Clear();
      Response response;
      if (status.ok()) {
        Answer(request, streams_->services, &files_, &response);
        answer = SerializeMessage(response);
      }
    }
    absl::MutexLock lock(&streams_->mu);
    if (!ok || !status.ok()) return EndLocked(status);
    if (ended_) return;
    outgoing_.Swap(&answer);
    writing_ = true;
    streams_->calls->WriteBegins(listed_, static_cast<int64_t>(outgoing_.Length()));
    this->StartWrite(&outgoing_);
  }
  void OnWriteDone(bool ok) override {
    absl::MutexLock lock(&streams_->mu);
    streams_->calls->WriteEnds(listed_);
    writing_ = false;
    outgoing_.Clear();
    ok ? ReadLocked() : EndLocked(absl::CancelledError("the caller went away"));
  }
  void LeaveLocked() override {
    if (!writing_) EndLocked(DrainingStatus());
  }
  // It reads only while it does not write.
  void GiveUpReading(const absl::Status& status) override {
    absl::MutexLock lock(&streams_->mu);
    if (!writing_) EndLocked(status);
  }
  // Nothing to do: the read or write under way fails, and its callback ends the stream.
  void OnCancel() override {}
  void OnDone() override {
    streams_->calls->Remove(listed_);
    {
      absl::MutexLock lock(&streams_->mu);
      streams_->open.erase(this);
    }
    self_.reset();
  }

 private:
  void ReadLocked() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    if (streams_->finishing) return EndLocked(DrainingStatus());
    if (ended_) return;
    streams_->calls->ReadBegins(listed_, this->weak_from_this(), /*whole_request=*/false);
    this->StartRead(&incoming_);
  }
  void EndLocked(const absl::Status& status) {
    if (std::exchange(ended_, true)) return;
    this->Finish(ToGrpcStatus(status));
  }

  Streams* const streams_;
  const OpenCalls::Handle listed_;
  std::shared_ptr<Stream> self_;  // gRPC's share of this object, given back in OnDone
  bool writing_ = false;
  bool ended_ = false;
  grpc::ByteBuffer incoming_;
  grpc::ByteBuffer outgoing_;
  FileSender files_;
};

template <typename Request, typename Response>
class Service final : public RawService {
 public:
  Service(const char* path, Streams* streams) {
    Serve(path, [streams](grpc::CallbackServerContext* context) {
      return Stream<Request, Response>::Start(context, streams);
    });
  }
};

}  // namespace

struct ReflectionServices::Parts {
  Streams streams;
  Service<v1::ServerReflectionRequest, v1::ServerReflectionResponse> current{
      "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", &streams};
  Service<v1alpha::ServerReflectionRequest, v1alpha::ServerReflectionResponse> older{
      "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &streams};
};

ReflectionServices::ReflectionServices(std::vector<std::string> services, KeyRing* keys,
                                       OpenCalls* calls)
    : parts_(std::make_unique<Parts>()) {
  services.insert(services.end(), {v1::ServerReflection::service_full_name(),
                                   v1alpha::ServerReflection::service_full_name()});
  parts_->streams.services = std::move(services);
  parts_->streams.keys = keys;
  parts_->streams.calls = calls;
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
