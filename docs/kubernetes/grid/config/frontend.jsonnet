local common = import 'common.libsonnet';

{
  grpcServers: [{ listenAddresses: [':8980'], authenticationPolicy: { allow: {} } }],
  schedulers: { '': { endpoint: { address: 'scheduler:8982' } } },
  maximumMessageSizeBytes: common.maximumMessageSizeBytes,
  global: common.global,
  contentAddressableStorage: common.everybody {
    backend: common.blobstore.contentAddressableStorage,
    findMissingAuthorizer: { allow: {} },
  },
  // To let only workers write results, deny in putAuthorizer: compressc says that
  // it cannot, and goes on.
  actionCache: common.everybody { backend: common.blobstore.actionCache },
  executeAuthorizer: { allow: {} },
}
