"""The contract between services: the envelope, the topics, and one file of events per publisher."""
