local common = import 'common.libsonnet';

{
  adminHttpServers: [{ listenAddresses: [':7982'], authenticationPolicy: { allow: {} } }],
  clientGrpcServers: [{ listenAddresses: [':8982'], authenticationPolicy: { allow: {} } }],
  workerGrpcServers: [{ listenAddresses: [':8983'], authenticationPolicy: { allow: {} } }],
  browserUrl: common.browserUrl,
  contentAddressableStorage: common.blobstore.contentAddressableStorage,
  maximumMessageSizeBytes: common.maximumMessageSizeBytes,
  global: common.global,
  executeAuthorizer: { allow: {} },
  modifyDrainsAuthorizer: { allow: {} },
  killOperationsAuthorizer: { allow: {} },
  synchronizeAuthorizer: { allow: {} },
  actionRouter: {
    simple: {
      platformKeyExtractor: { action: {} },
      invocationKeyExtractors: [{ correlatedInvocationsId: {} }, { toolInvocationId: {} }],
      initialSizeClassAnalyzer: {
        // A chunk of training on a large model takes its time.
        defaultExecutionTimeout: '14400s',
        maximumExecutionTimeout: '86400s',
      },
    },
  },
  platformQueueWithNoWorkersTimeout: '900s',
}
