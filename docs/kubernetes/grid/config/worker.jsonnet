local common = import 'common.libsonnet';

{
  blobstore: common.blobstore,
  browserUrl: common.browserUrl,
  maximumMessageSizeBytes: common.maximumMessageSizeBytes,
  scheduler: { address: 'scheduler:8983' },
  global: common.global { setUmask: { umask: 0 } },
  buildDirectories: [{
    native: {
      buildDirectoryPath: '/worker/build',
      cacheDirectoryPath: '/worker/cache',
      maximumCacheFileCount: 100000,
      maximumCacheSizeBytes: 60 * 1024 * 1024 * 1024,
      cacheReplacementPolicy: 'LEAST_RECENTLY_USED',
    },
    runners: [{
      endpoint: { address: 'unix:///worker/runner' },
      concurrency: 1,
      // Just what compressc asks for unless -executor-property says otherwise:
      // Buildbarn wants all of a worker's properties to be asked for.
      platform: {
        properties: [
          { name: 'ISA', value: 'x86-64' },
          { name: 'OSFamily', value: 'linux' },
        ],
      },
      workerId: { pod: std.extVar('POD_NAME'), node: std.extVar('NODE_NAME') },
    }],
  }],
  inputDownloadConcurrency: 10,
  outputUploadConcurrency: 10,
  directoryCache: {
    maximumCount: 10000,
    maximumSizeBytes: 16 * 1024 * 1024,
    cacheReplacementPolicy: 'LEAST_RECENTLY_USED',
  },
}
