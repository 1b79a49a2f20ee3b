// Runs every signature of a SavedModel by the C++ loader that TF Serving
// uses.
//
//   load_and_run VERSION_DIR FOLDER
//
// reads the inputs from FOLDER/in/SIGNATURE/NAME.pb and writes the outputs to
// FOLDER/out/SIGNATURE/NAME.pb; the files are serialized TensorProtos.

#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "tensorflow/cc/saved_model/loader.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/framework/tensor.pb.h"
#include "tensorflow/core/platform/env.h"
#include "tensorflow/core/public/session_options.h"

namespace tf = tensorflow;

namespace {

absl::Status Run(const tf::SavedModelBundle& bundle,
                 const tf::SignatureDef& signature, const std::string& in,
                 const std::string& out) {
  tf::Env* env = tf::Env::Default();
  std::vector<std::pair<std::string, tf::Tensor>> feeds;
  for (const auto& [name, info] : signature.inputs()) {
    tf::TensorProto proto;
    TF_RETURN_IF_ERROR(tf::ReadBinaryProto(env, in + "/" + name + ".pb",
                                           &proto));
    tf::Tensor tensor;
    if (!tensor.FromProto(proto)) {
      return absl::InvalidArgumentError("no tensor: " + name);
    }
    feeds.emplace_back(info.name(), tensor);
  }
  std::vector<std::string> names, fetches;
  for (const auto& [name, info] : signature.outputs()) {
    names.push_back(name);
    fetches.push_back(info.name());
  }
  std::vector<tf::Tensor> outputs;
  TF_RETURN_IF_ERROR(bundle.session->Run(feeds, fetches, {}, &outputs));
  TF_RETURN_IF_ERROR(env->RecursivelyCreateDir(out));
  for (size_t i = 0; i < names.size(); ++i) {
    tf::TensorProto proto;
    outputs[i].AsProtoTensorContent(&proto);
    TF_RETURN_IF_ERROR(
        tf::WriteBinaryProto(env, out + "/" + names[i] + ".pb", proto));
  }
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: load_and_run VERSION_DIR FOLDER\n";
    return 2;
  }
  const std::string folder = argv[2];
  tf::SavedModelBundle bundle;
  absl::Status status = tf::LoadSavedModel(
      tf::SessionOptions(), tf::RunOptions(), argv[1], {"serve"}, &bundle);
  if (!status.ok()) {
    std::cerr << "cannot load: " << status.ToString() << "\n";
    return 1;
  }
  for (const auto& [name, signature] : bundle.GetSignatures()) {
    if (name.rfind("__", 0) == 0) continue;  // TensorFlow's own init op
    status = Run(bundle, signature, folder + "/in/" + name,
                 folder + "/out/" + name);
    if (!status.ok()) {
      std::cerr << name << ": " << status.ToString() << "\n";
      return 1;
    }
    std::cout << name << "\n";
  }
  return 0;
}
