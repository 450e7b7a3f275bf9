// The program of kafkajs; see doc.go.
'use strict'

const path = require('node:path')
const { createRequire } = require('node:module')

// The packages are where scripts/clients puts them.
const installed = createRequire(path.resolve(__dirname, '../../.tools/clients/node/client.js'))
const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = installed('kafkajs')
CompressionCodecs[CompressionTypes.Snappy] = installed('kafkajs-snappy')

const [address, verb, ...rest] = process.argv.slice(2)
const kafka = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING, retry: { initialRetryTime: 50 } })

const tell = (...words) => process.stdout.write(words.join(' ') + '\n')

/** Resolves when standard input ends. */
const leaving = () => new Promise(resolve => process.stdin.on('end', resolve).resume())

const next = message => (BigInt(message.offset) + 1n).toString()

function consumer(groupId) {
  const c = kafka.consumer({
    groupId,
    sessionTimeout: 5000,
    heartbeatInterval: 200,
    maxWaitTimeInMs: 100,
    readUncommitted: false,
  })
  c.on(c.events.CRASH, ({ payload: { error, restart } }) => {
    if (restart) return
    console.error(error) // it does nothing any more, and says so only here
    process.exit(1)
  })
  return c
}

/** Tells how many partitions a consumer has, whenever it has joined. */
function tellAssigned(c) {
  c.on(c.events.GROUP_JOIN, ({ payload }) => {
    tell('assigned', Object.values(payload.memberAssignment).flat().length)
  })
}

async function produce(topic, count, ...codecs) {
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  const types = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy }
  for (let start = 0; start < count * codecs.length; start += 100) {
    // The acknowledgement has one offset a partition; so the partition is chosen here.
    const chosen = new Map([[0, []], [1, []], [2, []]])
    for (let n = start; n < start + 100; n++) chosen.get((n % 10) % 3).push(n)
    const codec = codecs[Math.floor(start / count)]
    const messages = [...chosen].flatMap(([partition, numbers]) =>
      numbers.map(n => ({ partition, key: `k${n % 10}`, value: `${n}`, headers: { codec } })))
    for (const { partition, baseOffset } of await producer.send({ topic, compression: types[codec], messages })) {
      chosen.get(partition).forEach((n, i) => tell('wrote', partition, Number(baseOffset) + i, n))
    }
  }
  await producer.disconnect()
}

async function consume(topic, count) {
  const c = consumer(`none-${process.pid}`)
  await c.connect()
  await c.subscribe({ topics: [topic], fromBeginning: true })
  let read = 0
  await new Promise((resolve, reject) => {
    c.run({
      autoCommit: false,
      eachMessage: async ({ partition, message }) => {
        tell('read', partition, message.offset, message.value, message.key, message.headers.codec)
        if (++read === Number(count)) resolve()
      },
    }).catch(reject)
  })
  await c.disconnect()
}

async function member(group, topic) {
  const c = consumer(group)
  tellAssigned(c)
  await c.connect()
  await c.subscribe({ topics: [topic], fromBeginning: true })
  await c.run({
    autoCommit: false,
    eachBatch: async ({ batch, heartbeat, isRunning, isStale }) => {
      const { partition } = batch
      for (const message of batch.messages) {
        if (!isRunning() || isStale()) return
        await c.commitOffsets([{ topic, partition, offset: next(message) }])
        tell('handled', partition, message.offset, message.value)
        await heartbeat()
      }
    },
  })
  await leaving()
  await c.disconnect()
}

async function transform(group, from, to, transactionalId) {
  const c = consumer(group)
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1, transactionalId })
  tellAssigned(c)
  await Promise.all([producer.connect(), c.connect()])
  await c.subscribe({ topics: [from], fromBeginning: true })
  let transactions = 0
  await c.run({
    autoCommit: false,
    eachBatchAutoResolve: false,
    eachBatch: async ({ batch, heartbeat, resolveOffset, isRunning, isStale }) => {
      for (let start = 0; start < batch.messages.length; start += 50) {
        if (!isRunning() || isStale()) return
        const messages = batch.messages.slice(start, start + 50)
        const partitions = [{ partition: batch.partition, offset: next(messages.at(-1)) }]
        for (let done = false; !done;) {
          const transaction = await producer.transaction()
          try {
            await transaction.send({ topic: to, messages: messages.map(({ key, value }) => ({ key, value })) })
            await transaction.sendOffsets({ consumerGroupId: group, topics: [{ topic: from, partitions }] })
            done = ++transactions % 3 !== 0
            await (done ? transaction.commit() : transaction.abort())
          } catch (error) {
            if (transaction.isActive()) await transaction.abort()
            throw error
          }
          tell(...(done ? ['committed', messages.length] : ['aborted']))
        }
        resolveOffset(messages.at(-1).offset)
        await heartbeat()
      }
    },
  })
  await leaving()
  await c.disconnect()
  await producer.disconnect()
}

async function admin(topic, group) {
  const a = kafka.admin()
  await a.connect()
  const partitions = async () => (await a.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length
  const create = () => a.createTopics({
    topics: [{ topic, numPartitions: 2, configEntries: [{ name: 'retention.ms', value: '1000000' }] }],
  })
  await create()
  tell('create ok')
  if (!await create()) tell('create again 36') // it tells TOPIC_ALREADY_EXISTS so
  tell('topic', await partitions())
  await a.createPartitions({ topicPartitions: [{ topic, count: 4 }] })
  tell('partitions', await partitions())

  const retention = async () => {
    const { resources } = await a.describeConfigs({ resources: [{ type: 2, name: topic, configNames: ['retention.ms'] }] })
    return `retention.ms=${resources[0].configEntries[0].configValue}`
  }
  tell('config', await retention())
  await a.alterConfigs({ resources: [{ type: 2, name: topic, configEntries: [{ name: 'retention.ms', value: '2000000' }] }] })
  tell('config', await retention())

  const set = offset => a.setOffsets({ groupId: group, topic, partitions: [{ partition: 0, offset }] })
  const offset = async () => {
    const [{ partitions }] = await a.fetchOffsets({ groupId: group, topics: [topic] })
    return `0=${partitions.find(p => p.partition === 0).offset}`
  }
  const state = async () => (await a.describeGroups([group])).groups[0].state
  await set('7')
  tell('group', await state())
  if ((await a.listGroups()).groups.some(g => g.groupId === group)) tell('groups listed')
  tell('offset', await offset())
  await set('3')
  tell('offset', await offset())

  const producer = kafka.producer()
  await producer.connect()
  await producer.send({ topic, messages: Array.from({ length: 10 }, (_, n) => ({ partition: 0, value: `${n}` })) })
  await producer.disconnect()
  await a.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '5' }] })
  tell('records', (await a.fetchTopicOffsets(topic)).find(p => p.partition === 0).low)

  await a.deleteGroups([group])
  tell('group deleted')
  tell('group', await state())
  await a.deleteTopics({ topics: [topic] })
  tell('delete ok')
  await a.fetchTopicMetadata({ topics: [topic] }).catch(error => tell('topic', error.code, 'unknown'))
  await a.disconnect()
}

process.on('unhandledRejection', error => { throw error })
;({ produce, consume, member, transform, admin })[verb](...rest).then(() => process.exit(0), error => {
  console.error(error)
  process.exit(1)
})
