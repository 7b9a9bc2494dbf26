// kafkajs as a driver of the client matrix; doc.go of the package has the verbs.
'use strict'

const fs = require('node:fs')
const readline = require('node:readline')
const { ConfigResourceTypes, Kafka, logLevel } = require('kafkajs')
const { SchemaRegistry, SchemaType } = require('@kafkajs/confluent-schema-registry')

const say = (fields) => process.stdout.write(JSON.stringify(fields) + '\n')
const kafka = (bootstrap) => new Kafka({ clientId: 'matrix', brokers: [bootstrap], logLevel: logLevel.ERROR })
const group = { sessionTimeout: 6000, heartbeatInterval: 300, rebalanceTimeout: 10000, maxWaitTimeInMs: 100 }

// A broker of Apache Kafka answers before it shows what a change has made.
const settled = async (look, good) => {
  for (const end = Date.now() + 30_000; ;) {
    try {
      const seen = await look()
      if (good(seen) || Date.now() > end) return seen
    } catch (e) {
      if (e.type !== 'UNKNOWN_TOPIC_OR_PARTITION' || Date.now() > end) throw e
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const verbs = {
  async version () {
    say({ version: require('kafkajs/package.json').version })
  },

  async produce (bootstrap, url, topic, schemaFile) {
    const registry = new SchemaRegistry({ host: url })
    const { id } = await registry.register({ type: SchemaType.AVRO, schema: fs.readFileSync(schemaFile, 'utf8') }, { subject: `${topic}-value` })
    const messages = []
    for await (const line of readline.createInterface({ input: process.stdin })) {
      const order = JSON.parse(line)
      messages.push({ key: order.customer_id, value: await registry.encode(id, order) })
    }
    const producer = kafka(bootstrap).producer({ idempotent: true }) // the default partitioner is murmur2 as in Java since 2.0
    await producer.connect()
    await producer.send({ topic, messages, acks: -1 })
    await producer.disconnect()
    say({ taken: messages.length })
  },

  async consume (bootstrap, url, topic, partitions) {
    const registry = new SchemaRegistry({ host: url })
    const consumer = kafka(bootstrap).consumer({ ...group, groupId: `${topic}-node`, readUncommitted: false })
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    let left = Number(partitions)
    await new Promise((resolve, reject) => {
      consumer.run({
        autoCommit: false,
        eachMessage: async ({ partition, message }) => {
          const key = message.key.toString()
          if (key === 'end') {
            if (--left === 0) resolve()
            return
          }
          try {
            const { trigger_id, customer_id, rule, status, episode } = await registry.decode(message.value)
            say({ partition, offset: Number(message.offset), key, value: { trigger_id, customer_id, rule, status, episode } })
          } catch (e) {
            reject(e)
          }
        }
      })
    })
    await consumer.disconnect()
  },

  async member (bootstrap, topic, groupId) {
    const consumer = kafka(bootstrap).consumer({ ...group, groupId, readUncommitted: false })
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => say({ assigned: payload.memberAssignment[topic] || [] }))
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    await consumer.run({
      autoCommit: false,
      eachMessage: async ({ partition, message }) => {
        await consumer.commitOffsets([{ topic, partition, offset: (BigInt(message.offset) + 1n).toString() }])
        say({ partition, offset: Number(message.offset), key: message.key.toString() })
      }
    })
    for await (const _ of process.stdin); // eslint-disable-line no-unused-vars
    await consumer.disconnect()
  },

  async admin (bootstrap, topic) {
    const admin = kafka(bootstrap).admin()
    await admin.connect()
    const resource = { type: ConfigResourceTypes.TOPIC, name: topic }
    const retention = async () => {
      const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [{ ...resource, configNames: ['retention.ms'] }] })
      return resources[0].configEntries.find((e) => e.configName === 'retention.ms').configValue
    }
    await admin.createTopics({ topics: [{ topic, numPartitions: 3, replicationFactor: 1, configEntries: [{ name: 'retention.ms', value: '3600000' }] }] })
    const listed = await settled(async () => (await admin.listTopics()).includes(topic), Boolean)
    const { topics } = await settled(() => admin.fetchTopicMetadata({ topics: [topic] }), Boolean)
    const before = await settled(retention, Boolean)
    await admin.alterConfigs({ validateOnly: false, resources: [{ ...resource, configEntries: [{ name: 'retention.ms', value: '7200000' }] }] })
    const after = await settled(retention, (value) => value !== before)
    await admin.deleteTopics({ topics: [topic] })
    await admin.disconnect()
    say({ partitions: topics[0].partitions.length, retention: before, listed, altered: after })
  }
}

verbs[process.argv[2]](...process.argv.slice(3)).then(() => process.exit(0), (e) => { console.error(e); process.exit(1) })
