local storage = { grpc: { client: { address: 'storage-0.storage:8981' } } };

{
  blobstore: {
    contentAddressableStorage: storage,
    actionCache: {
      // A result whose blobs are gone is none.
      completenessChecking: {
        backend: storage,
        maximumTotalTreeSizeBytes: 64 * 1024 * 1024,
      },
    },
  },
  maximumMessageSizeBytes: 16 * 1024 * 1024,
  browserUrl: 'http://browser.invalid',
  global: {
    diagnosticsHttpServer: {
      httpServers: [{ listenAddresses: [':9980'], authenticationPolicy: { allow: {} } }],
      enablePrometheus: true,
    },
  },
  everybody: {
    getAuthorizer: { allow: {} },
    putAuthorizer: { allow: {} },
  },
}
