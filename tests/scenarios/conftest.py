"""Fixtures of the scenarios."""

import json

import pytest


@pytest.fixture
def notifications(pipeline):
    """A function that returns every message on the failure topic since its last call, after ``expected`` have come."""
    sqs, sns = pipeline.emulator.aws.client("sqs"), pipeline.emulator.aws.client("sns")
    queue = sqs.create_queue(QueueName="ends")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = pipeline.outputs["FailureTopicArn"]
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)["SubscriptionArn"]

    def messages(expected):
        found = []
        while True:
            wait = 10 if len(found) < expected else 0
            received = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=wait, MaxNumberOfMessages=10)
            if "Messages" not in received:
                return found
            for each in received["Messages"]:
                found.append(json.loads(each["Body"])["Message"])
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=each["ReceiptHandle"])

    yield messages
    sns.unsubscribe(SubscriptionArn=subscription)
    sqs.delete_queue(QueueUrl=queue)
